"""The second opinion: the original model run by ONNX Runtime, suppression in plain NumPy, colours by OpenCV.

Nothing here is shared with the fused graph, so that a mistake can't agree with itself.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from converters.spec import ModelSpec

Arrays = dict[str, NDArray[np.float32]]
DecodeHead = Callable[[Arrays], tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]]
"""A head's outputs of one picture → boxes `[n, 4]` (x1, y1, x2, y2, canvas pixels), scores `[n]`, classes `[n]`."""
Prepare = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A BGR canvas uint8 `[H, W, 3]` → the network's input for one picture."""


def session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return a CPU session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def bgr_of(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert one NV12 frame `[H * 3 / 2, W]` to BGR `[H, W, 3]`."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12), dtype=np.uint8)


class OriginalDetector:
    """The unchanged model file as the reference of its fused graph, one picture at a time."""

    def __init__(self, model: bytes, spec: ModelSpec, *, prepare: Prepare, decode: DecodeHead, batch: int = 1) -> None:
        self._session = session(model)
        self._spec = spec
        self._prepare = prepare
        self._decode = decode
        self._batch = batch

    def from_nv12(self, frames: NDArray[np.uint8], score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the rows of each frame of `[b, H * 3 / 2, W]`."""
        return [self._rows(bgr_of(frame), score_threshold) for frame in frames]

    def from_bgr(self, pictures: NDArray[np.uint8], score_threshold: float) -> list[NDArray[np.float32]]:
        """Return the rows of each picture of `[b, H, W, 3]`."""
        return [self._rows(picture, score_threshold) for picture in pictures]

    def _rows(self, picture: NDArray[np.uint8], score_threshold: float) -> NDArray[np.float32]:
        tensor = np.repeat(self._prepare(picture)[None], self._batch, axis=0)
        names = [output.name for output in self._session.get_outputs()]
        outputs = self._session.run(names, {self._session.get_inputs()[0].name: tensor})
        boxes, scores, classes = self._decode(
            {name: np.asarray(array)[0] for name, array in zip(names, outputs, strict=True)}
        )
        return suppressed(
            boxes,
            scores,
            classes,
            score_threshold=score_threshold,
            nms_iou=self._spec.nms_iou,
            max_detections=self._spec.max_detections,
        )


def suppressed(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    *,
    score_threshold: float,
    nms_iou: float,
    max_detections: int,
) -> NDArray[np.float32]:
    """Greedy class-aware suppression.

    Args:
        boxes: `[n, 4]`: x1, y1, x2, y2 in pixels.
        scores: `[n]`.
        classes: `[n]`.
        score_threshold: Scores at or below it are left out.
        nms_iou: A box goes when it overlaps a better one of its class by more.
        max_detections: Rows at most.

    Returns:
        float32 `[m, 6]`: x1, y1, x2, y2, score, class; best first.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > score_threshold]
    kept: list[int] = []
    while order.size and len(kept) < max_detections:
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        rival = (classes[rest] == classes[best]) & (iou(boxes[best], boxes[rest]) > nms_iou)
        order = rest[~rival]
    columns: Sequence[NDArray[np.float32]] = (boxes[kept], scores[kept, None], classes[kept, None].astype(np.float32))
    return np.concatenate(columns, axis=1).astype(np.float32)


def iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the overlap (0 to 1) of one box `[4]` with each of `[n, 4]`, as area shared by area covered."""
    lower = np.maximum(box[:2], others[:, :2])
    upper = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(upper - lower, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    covered = np.prod(box[2:] - box[:2]) + areas - shared
    return np.where(covered > 0, shared / np.maximum(covered, np.finfo(np.float32).tiny), 0).astype(np.float32)
