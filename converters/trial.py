"""A model of a stage in a real Triton: loaded as it will be served, and asked the same as ONNX Runtime.

Rendered pictures hold no object, and two empty answers agree about nothing. So a probe goes in beside the model: the
same graph with a score threshold low enough that the pictures yield rows to compare.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from converters import integrity, triton_config
from converters.errors import ModelError
from converters.native_memory import give_back
from converters.parity import Difference, Judge, Rows
from converters.pictures import PictureSet
from converters.progress import Report, Steps
from converters.repository import CONFIG_FILE
from converters.spec import Task, Tolerance
from converters.triton_runner import triton_runner
from converters.triton_server import TrialServer, trial_server
from converters.verify import above, at_threshold, enough_rows, frames_of, onnx_runner

_PROBE_SUFFIX = "_probe"


def try_in_triton(
    root: Path, name: str, version: int, pictures: PictureSet, report: Report | None = None
) -> Difference:
    """Compare Triton's answers with ONNX Runtime's on the same graph, frame by frame and in a full batch.

    Args:
        root: A stage that holds the model; a probe is added to it.
        name: The model.
        version: Its version.
        pictures: What to ask.
        report: If it takes that, told how far it is.

    Raises:
        ModelError: Its files are not those of its manifest, Triton can't load or run the model, or answers otherwise.
        MissingError: There is no Triton.
    """
    integrity.check(root / name / str(version))
    text = (root / name / CONFIG_FILE).read_text(encoding="utf-8")
    config = triton_config.parse(text)
    spec = triton_config.spec_of(config)
    model = root / name / str(version) / triton_config.MODEL_FILE
    frames = frames_of(pictures, spec)
    threshold, many = enough_rows(lambda floor: onnx_runner(_at_threshold(model, floor))(frames), spec)
    few = many if spec.task is Task.CLASSIFY else above(many, spec.score_threshold)
    probe = name + _PROBE_SUFFIX
    _add_probe(root, probe, version, triton_config.renamed(config, probe), _at_threshold(model, threshold))
    judge = Judge(spec, Tolerance(), spec.score_threshold)
    batch = int(config["max_batch_size"])
    told = Steps(report, 2 * (len(frames) + 1))
    give_back()
    with trial_server(root, (name, probe), loaded=(name,)) as server:
        own = _ask(server, name, frames, few, judge, batch, told)
        server.exchange(name, probe)
        low = _ask(server, probe, frames, many, replace(judge, score_threshold=threshold), batch, told)
    difference = own.merged(low)
    if not difference.within(judge.tolerance):
        raise ModelError(f"Triton's answers differ from ONNX Runtime's: {difference}")
    return difference


def _ask(
    server: TrialServer,
    name: str,
    frames: NDArray[np.uint8],
    expected: Rows,
    judge: Judge,
    batch: int,
    told: Steps,
) -> Difference:
    run = triton_runner(server, name, judge.spec.task)
    one_by_one: Rows = []
    for frame in frames:
        one_by_one += run(frame[None])
        told()
    members = np.resize(np.arange(len(frames)), batch)
    together = run(frames[members])
    told()
    singly = judge.compare(expected, one_by_one)
    return singly.merged(judge.compare([expected[index] for index in members], together))


def _at_threshold(model: Path, score_threshold: float) -> bytes:
    return at_threshold(onnx.load(str(model)), score_threshold).SerializeToString()


def _add_probe(root: Path, probe: str, version: int, config: str, model: bytes) -> None:
    folder = root / probe / str(version)
    try:
        folder.mkdir(parents=True)
        (folder / triton_config.MODEL_FILE).write_bytes(model)
        (root / probe / CONFIG_FILE).write_text(config, encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{root} can't be written ({error.strerror}); free some space there") from error
