"""The second opinion: the original model run by ONNX Runtime, suppression in plain NumPy, colours by OpenCV.

Nothing here is shared with the fused graph, so that a mistake can't agree with itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from converters.errors import ModelError
from converters.preprocess import ChannelOrder, Element, Layout, Preprocess
from converters.spec import ModelSpec

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class HeadRows:
    """What a head says of one picture, before suppression.

    Attributes:
        boxes: `[n, 4]`: x1, y1, x2, y2 in canvas pixels.
        scores: `[n]`, 0 to 1.
        classes: `[n]`.
        extras: `[n, 3K]`: x, y and score of each keypoint; None for a plain detector.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    extras: NDArray[np.float32] | None = None


DecodeHead = Callable[[Arrays], HeadRows]
"""A head's outputs of one picture → its rows."""
DecodeScores = Callable[[Arrays], NDArray[np.float32]]
"""A classifier's outputs of one picture → scores `[C]`, 0 to 1."""


def session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a CPU session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bgr_of(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert one NV12 frame `[H * 3 / 2, W]` to BGR `[H, W, 3]`."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12), dtype=np.uint8)


def network_input(picture: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[Any]:
    """Turn a BGR canvas uint8 `[H, W, 3]` into what a network takes for it, without a batch axis."""
    code = {ChannelOrder.RGB: cv2.COLOR_BGR2RGB, ChannelOrder.GREY: cv2.COLOR_BGR2GRAY}.get(preprocess.order)
    levels = picture if code is None else np.asarray(cv2.cvtColor(picture, code), dtype=np.uint8)
    rows, columns = preprocess.size or picture.shape[:2]
    if levels.shape[:2] != (rows, columns):
        levels = np.asarray(cv2.resize(levels.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR))
    levels = levels.reshape(rows, columns, preprocess.planes)
    mean, gain = (np.array(values, dtype=np.float32) for values in (preprocess.mean, preprocess.gain))
    values = (levels.astype(np.float32) - mean) * gain
    planes = values.transpose(2, 0, 1) if preprocess.layout is Layout.NCHW else values
    return _as_element(planes, preprocess)


def _as_element(values: NDArray[np.float32], preprocess: Preprocess) -> NDArray[Any]:
    """Cast, or quantise as the ONNX specification's QuantizeLinear does."""
    if preprocess.element is Element.FLOAT16:
        return values.astype(np.float16)
    if not preprocess.quantised:
        return values
    limits = np.iinfo(np.int8 if preprocess.element is Element.INT8 else np.uint8)
    steps = np.rint(values / np.float32(preprocess.scale)) + preprocess.zero_point
    clipped: NDArray[np.float32] = np.clip(steps, limits.min, limits.max)
    return clipped.astype(np.int8 if preprocess.element is Element.INT8 else np.uint8)


class _Outputs(Arrays):
    """What a network gives, by name. Only what is asked for has to hold numbers: heads don't read all of it."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an output that can be decoded.

        Raises:
            ModelError: It holds NaN.
        """
        values = super().__getitem__(name)
        void = np.count_nonzero(np.isnan(values)) if values.dtype.kind == "f" else 0
        if void:
            raise ModelError(
                f"the network itself gives {void} of the {values.size} numbers of its output {name} as NaN; half "
                "precision that overflows does that: export it in FP32, or describe what it takes (--family custom)"
            )
        return values


class Original:
    """The unchanged model file, asked about one picture at a time."""

    def __init__(self, model: bytes, preprocess: Preprocess, *, batch: int = 1) -> None:
        self._model = model
        self._preprocess = preprocess
        self._batch = batch

    def outputs(self, pictures: Iterable[NDArray[np.uint8]]) -> Iterator[Arrays]:
        """Yield the outputs for each BGR canvas uint8 `[H, W, 3]` by name, without their batch axis.

        The model is in memory twice while this lasts, and no longer. Reading an output that holds NaN raises
        `ModelError`.
        """
        running = session(self._model)
        names = [output.name for output in running.get_outputs()]
        for picture in pictures:
            tensor = np.repeat(network_input(picture, self._preprocess)[None], self._batch, axis=0)
            outputs = running.run(names, {running.get_inputs()[0].name: tensor})
            yield _Outputs({name: np.asarray(array)[0] for name, array in zip(names, outputs, strict=True)})


class OriginalClassifier:
    """The original as the reference of a classifier's fused graph; the threshold means nothing to it."""

    def __init__(self, original: Original, decode: DecodeScores) -> None:
        self._original = original
        self._decode = decode

    def from_nv12(self, frames: NDArray[np.uint8], _score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the scores `[C]` of each frame of `[b, H * 3 / 2, W]`."""
        return [self._decode(outputs) for outputs in self._original.outputs(map(bgr_of, frames))]

    def from_bgr(self, pictures: NDArray[np.uint8], _score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the scores `[C]` of each picture of `[b, H, W, 3]`."""
        return [self._decode(outputs) for outputs in self._original.outputs(pictures)]


class OriginalDetector:
    """The original as the reference of a detector's fused graph."""

    def __init__(
        self, original: Original, spec: ModelSpec, decode: DecodeHead, stretch: tuple[float, float] = (1, 1)
    ) -> None:
        """Take what `decode` finds, `stretch` times as far right and down, for pixels of the canvas."""
        self._original = original
        self._stretch = np.array(stretch, dtype=np.float32)
        self._spec = spec
        self._decode = decode

    def from_nv12(self, frames: NDArray[np.uint8], score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the rows of each frame of `[b, H * 3 / 2, W]`."""
        return [self._rows(outputs, score_threshold) for outputs in self._original.outputs(map(bgr_of, frames))]

    def from_bgr(self, pictures: NDArray[np.uint8], score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the rows of each picture of `[b, H, W, 3]`."""
        return [self._rows(outputs, score_threshold) for outputs in self._original.outputs(pictures)]

    def _rows(self, outputs: Arrays, score_threshold: float) -> NDArray[np.float32]:
        rows = self._decode(outputs)
        extras = rows.extras
        if extras is not None:
            extras = (extras.reshape(len(extras), -1, 3) * [*self._stretch, 1]).reshape(extras.shape).astype(np.float32)
        return suppressed(
            rows.boxes * np.tile(self._stretch, 2),
            rows.scores,
            rows.classes,
            extras=extras,
            score_threshold=score_threshold,
            nms_iou=self._spec.nms_iou,
            max_detections=self._spec.max_detections,
        )


def suppressed(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    extras: NDArray[np.float32] | None = None,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> NDArray[np.float32]:
    """Greedy class-aware suppression.

    Args:
        boxes: `[n, 4]`: x1, y1, x2, y2 in pixels.
        scores: `[n]`.
        classes: `[n]`.
        extras: `[n, 3K]`: keypoints that go with their boxes.
        score_threshold: Scores at or below it are left out.
        nms_iou: A box goes when it overlaps a better one of its class by more; 1 keeps all.
        max_detections: Rows at most.

    Returns:
        float32 `[m, 6 + 3K]`: x1, y1, x2, y2, score, class, keypoints; best first.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > score_threshold]
    kept: list[int] = []
    while order.size and len(kept) < max_detections:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        rival = (classes[rest] == classes[best]) & (iou(boxes[best], boxes[rest]) > nms_iou) & (nms_iou < 1)
        order = rest[~rival]
    columns = [boxes[kept], scores[kept, None], classes[kept, None].astype(np.float32)]
    if extras is not None:
        columns.append(extras[kept])
    return np.concatenate(columns, axis=1).astype(np.float32)


def iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the overlap (0 to 1) of one box `[4]` with each of `[n, 4]`, as area shared by area covered."""
    lower = np.maximum(box[:2], others[:, :2])
    upper = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(upper - lower, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    covered = np.prod(box[2:] - box[:2]) + areas - shared
    return np.where(covered > 0, shared / np.maximum(covered, np.finfo(np.float32).tiny), 0).astype(np.float32)
