"""Does the fused graph say what the original says? On every picture, at several batch sizes, at every index."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

from converters.errors import ModelError
from converters.parity import Difference, Judge, Rows, rows_of
from converters.pictures import PictureSet, nv12_of, on_canvas
from converters.progress import Report, Steps
from converters.reference import session
from converters.spec import (
    COUNT_NAME,
    DETECTIONS_NAME,
    INPUT_NAME,
    SCORE_THRESHOLD_NAME,
    SCORES_NAME,
    BuiltModel,
    ModelSpec,
    Task,
    Tolerance,
)

BATCH_SIZES = (1, 2, 3, 5)
PROBE_THRESHOLDS = (0.1, 0.03, 0.01, 0.003)
"""Lower thresholds to try, in turn, until the pictures yield rows enough to compare."""
ENOUGH_ROWS = 20
SCORE_COLUMN = 4

_LARGE_BYTES = 32 << 20
"""Of a model above this each frame is compared once in each batch size, at whatever index; of a smaller one
each frame at every index."""

Runner = Callable[[NDArray[np.uint8]], Rows]
"""NV12 frames uint8 `[b, H * 3 / 2, W]` in, the rows of each frame out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """The figures of a verification, as the manifest records them.

    Attributes:
        score_threshold: At which rows were compared; the model's own, or lower where that found too few rows.
        batch_sizes: Compared at every index.
        same_pixels: Against the reference on the very same NV12 frames.
        from_rgb: Against the reference on pictures that never lost chroma resolution, at the model's own threshold;
            None where the reference looks at luma alone.
    """

    score_threshold: float
    batch_sizes: tuple[int, ...]
    same_pixels: Difference
    from_rgb: Difference | None

    def as_record(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def frames_of(pictures: PictureSet, spec: ModelSpec) -> NDArray[np.uint8]:
    """Return the pictures as NV12 frames uint8 `[n, H * 3 / 2, W]` of the model's canvas."""
    return np.stack([nv12_of(on_canvas(picture, spec)) for picture in pictures.pictures])


def verify(built: BuiltModel, pictures: PictureSet, report: Report | None = None) -> Parity:
    """Compare a built model with its reference; a report that takes it is told how far that is.

    Raises:
        ModelError: They disagree by more than the tolerance, or the graph can't run a batch.
    """
    frames = frames_of(pictures, built.spec)
    threshold, expected = enough_rows(lambda floor: built.reference(frames, floor), built.spec)
    same_pixels, alone = _same_pixels(built, frames, threshold, expected, report)
    return Parity(
        score_threshold=threshold,
        batch_sizes=BATCH_SIZES,
        same_pixels=same_pixels,
        from_rgb=_from_rgb(built, pictures, alone),
    )


def _same_pixels(
    built: BuiltModel, frames: NDArray[np.uint8], threshold: float, expected: Rows, report: Report | None
) -> tuple[Difference, Rows]:
    """Return what lies between the graph and its reference, and what the graph says of each frame alone.

    Raises:
        ModelError: They disagree by more than the tolerance, or the graph can't run a batch.
    """
    run = onnx_runner(at_threshold(built.model, threshold).SerializeToString())
    judge = Judge(built.spec, built.tolerance, threshold)
    every_index = built.model.ByteSize() <= _LARGE_BYTES
    batches = {batch: [*_batches(len(frames), batch, every_index=every_index)] for batch in BATCH_SIZES}
    told = Steps(report, sum(members.size for each in batches.values() for members in each))
    total = Difference()
    alone: Rows = []
    for batch, members in batches.items():
        asked, answers = _asked(run, frames, members, told)
        difference = judge.compare([expected[frame] for frame in asked], answers)
        if not difference.within(built.tolerance):
            hint = "; if the original has a fixed batch size, export it with a dynamic one" if batch > 1 else ""
            raise ModelError(
                f"the fused graph disagrees with the original at batch size {batch}: {difference}; "
                f"allowed are {built.tolerance.box_px:g} px and {built.tolerance.score:g}{hint}"
            )
        total = total.merged(difference)
        alone = alone or answers
    return total, alone


def at_threshold(model: onnx.ModelProto, score_threshold: float) -> onnx.ModelProto:
    """Return a copy of a fused model with another score threshold."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name == SCORE_THRESHOLD_NAME:
            tensor.CopyFrom(
                numpy_helper.from_array(np.array([score_threshold], dtype=np.float32), SCORE_THRESHOLD_NAME)
            )
    return changed


def onnx_runner(model: bytes) -> Runner:
    """Return a function that runs a fused model with ONNX Runtime.

    Raises:
        ModelError: The graph can't be loaded; by the function: it can't run the batch it is given, or answers for fewer
            pictures.
    """
    fused = _loaded(model)
    classifier = SCORES_NAME in [output.name for output in fused.get_outputs()]
    names = [SCORES_NAME] if classifier else [DETECTIONS_NAME, COUNT_NAME]

    def run(frames: NDArray[np.uint8]) -> Rows:
        try:
            outputs = fused.run(names, {INPUT_NAME: frames})
        except (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException) as error:
            raise ModelError(
                f"the fused graph can't run a batch of {len(frames)} ({str(error).splitlines()[0]}); "
                "export the original with a dynamic batch axis"
            ) from error
        answered = min(len(np.asarray(output)) for output in outputs)
        if answered != len(frames):
            raise ModelError(
                f"the original answers for {answered} of the {len(frames)} pictures of a batch, as many do that were "
                "exported with suppression inside; export it without (Ultralytics: nms=False), it is added here, and "
                "with a dynamic batch axis"
            )
        return list(np.asarray(outputs[0])) if classifier else rows_of(np.asarray(outputs[0]), np.asarray(outputs[1]))

    return run


def _loaded(model: bytes) -> onnxruntime.InferenceSession:
    try:
        return session(model)
    except (
        ort_errors.Fail,
        ort_errors.InvalidArgument,
        ort_errors.InvalidGraph,
        ort_errors.NotImplemented,
        ort_errors.RuntimeException,
    ) as error:
        raise ModelError(
            f"ONNX Runtime can't load the fused graph ({str(error).splitlines()[0]}); "
            "publish the network undecoded, for direct calls, with --task raw"
        ) from error


def enough_rows(rows_at: Callable[[float], Rows], spec: ModelSpec) -> tuple[float, Rows]:
    """Lower a detector's threshold until the pictures yield rows enough to compare; return it and the rows.

    The network runs once: what is above a threshold is what the lowest threshold leaves of it, because a row is
    suppressed by better ones alone.
    """
    if spec.task is Task.CLASSIFY:
        return spec.score_threshold, rows_at(spec.score_threshold)
    thresholds = (spec.score_threshold, *(probe for probe in PROBE_THRESHOLDS if probe < spec.score_threshold))
    every = rows_at(thresholds[-1])
    for threshold in thresholds:
        rows = above(every, threshold)
        if sum(map(len, rows)) >= ENOUGH_ROWS:
            return threshold, rows
    return thresholds[-1], every


def above(rows: Rows, score_threshold: float) -> Rows:
    """Return the rows that a higher threshold leaves."""
    return [table[table[:, SCORE_COLUMN] > score_threshold] for table in rows]


def _batches(count: int, batch: int, *, every_index: bool) -> Iterator[NDArray[np.int64]]:
    """Yield which frames make up each batch: each frame at each index, or once, at whatever index it falls on."""
    for start in range(0, count, 1 if every_index else batch):
        yield np.arange(start, start + batch) % count


def _asked(
    run: Runner, frames: NDArray[np.uint8], batches: Sequence[NDArray[np.int64]], told: Steps
) -> tuple[list[int], Rows]:
    """Run frames in batches; returns the frame of each answer, and the answers."""
    asked: list[int] = []
    answers: Rows = []
    for members in batches:
        asked += members.tolist()
        answers += run(frames[members])
        told(members.size)
    return asked, answers


def _from_rgb(built: BuiltModel, pictures: PictureSet, found: Rows) -> Difference | None:
    """Compare what the graph found, each picture alone and at a threshold as low, with its reference on RGB."""
    if built.picture_reference is None:
        return None
    canvases: Sequence[NDArray[np.uint8]] = [on_canvas(picture, built.spec) for picture in pictures.pictures]
    threshold = built.spec.score_threshold
    expected = built.picture_reference(np.stack(canvases), threshold)
    judge = Judge(built.spec, Tolerance(box_px=1.0, score=0.01), threshold)
    return judge.compare(expected, found if built.spec.task is Task.CLASSIFY else above(found, threshold))
