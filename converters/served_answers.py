"""What a running Triton says of pictures, beside what ONNX Runtime says of them on a CPU with the published graph.

A plan, a CUDA kernel or TensorRT's execution provider rounds as it likes: the answers are compared as those of two
precisions are, by what they find.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import integrity, triton_config
from converters.agreement import ENOUGH_BOXES, Agreement, agreement
from converters.errors import ModelError
from converters.live_server import LiveServer
from converters.parity import Rows
from converters.pictures import PictureSet
from converters.progress import Report, Steps
from converters.repository import Repository
from converters.spec import Task
from converters.triton_runner import triton_runner
from converters.triton_server import TrialServer
from converters.verify import Runner, frames_of, onnx_runner

SHA256 = "ruth.model_sha256"


def compare_with_server(
    root: Path, name: str, grpc_url: str, pictures: PictureSet, min_f1: float, report: Report
) -> Agreement:
    """Ask a running Triton about each picture alone and in full batches.

    Args:
        root: The model repository.
        name: A published model.
        grpc_url: `host:port` of the Triton that serves it.
        pictures: What to ask.
        min_f1: Smallest F1, 0 to 1, of what it finds against what the published graph finds.
        report: Told what begins, and how far it is.

    Raises:
        ModelError: A file was changed, the server serves another model, fails, or finds something else; or the pictures
            show too little to tell.
        MissingError: No Triton answers there.
    """
    repository = Repository(root)
    version = repository.served_version(name)
    integrity.check(root / name / str(version))
    published = triton_config.parse(repository.config(name) or "")
    if "ruth.contract" not in triton_config.parameters_of(published):
        raise ModelError(f"{name} is outside the model contract; leave out --server to have it tried by a Triton here")
    spec = triton_config.spec_of(published)
    served = _served(LiveServer(grpc_url), name, version, triton_config.parameters_of(published)[SHA256])
    frames = frames_of(pictures, spec)
    batches = _batches(len(frames), int(served["max_batch_size"]))
    report(f"ask ONNX Runtime and {grpc_url} about {len(frames)} pictures")
    told = Steps(report, len(frames) + sum(map(len, batches)))
    expected = _rows(onnx_runner(repository.model_bytes(name, version)), frames, batches[: len(frames)], told)
    if spec.task is not Task.CLASSIFY and sum(map(len, expected)) < ENOUGH_BOXES:
        raise ModelError(
            f"{name} finds {sum(map(len, expected))} boxes in these pictures, at least {ENOUGH_BOXES} are needed to "
            "compare by: give pictures of what it is to find (--pictures DIR)"
        )
    found = _rows(triton_runner(TrialServer(grpc_url), name, spec.task, version), frames, batches, told)
    wanted = [expected[index] for batch in batches for index in batch]
    agreed = _same_class(wanted, found) if spec.task is Task.CLASSIFY else agreement(wanted, found)
    if agreed.f1 < min_f1:
        raise ModelError(f"{grpc_url} answers otherwise than ONNX Runtime: {agreed}, F1 {min_f1:g} wanted")
    return agreed


def _served(server: LiveServer, name: str, version: int, sha256: str) -> dict[str, Any]:
    """Return the configuration that a model is served with.

    Raises:
        ModelError: It is another model.
        MissingError: There is no server.
    """
    server.check()
    config = server.config(name, version)
    if triton_config.parameters_of(config).get(SHA256) != sha256:
        raise ModelError(f"{server.grpc_url} serves another {name} than this repository holds; load this one there")
    return config


def _batches(count: int, largest: int) -> list[list[int]]:
    """Return which frames to ask about together: first each alone, then all of them in full batches."""
    together = [[index % count for index in range(start, start + largest)] for start in range(0, count, largest)]
    return [[index] for index in range(count)] + together


def _rows(run: Runner, frames: NDArray[np.uint8], batches: Sequence[list[int]], told: Steps) -> Rows:
    rows: Rows = []
    for batch in batches:
        rows += run(frames[batch])
        told(len(batch))
    return rows


def _same_class(expected: Rows, found: Rows) -> Agreement:
    """Count pictures of which both name the same class first."""
    same = sum(int(np.argmax(one)) == int(np.argmax(other)) for one, other in zip(expected, found, strict=True))
    others = len(expected) - same
    return Agreement(f1=same / len(expected), matched=same, missed=others, extra=others)
