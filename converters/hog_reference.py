"""The second opinion on the HOG graph: `cv2.HOGDescriptor` itself on the same pyramid."""

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.hog_pyramid import Level, person_boxes
from converters.spec import ModelSpec

Rows = NDArray[np.float32]


class OpencvPeopleDetector:
    """Finds people in NV12 frames with OpenCV's `HOGDescriptor.detect` at each level of a pyramid.

    Args:
        spec: Canvas, overlap and number of rows.
        levels: The pyramid.
        slope: Score of a window at distance d from the SVM's plane is `1 / (1 + exp(-slope * d))`.
    """

    def __init__(self, spec: ModelSpec, levels: list[Level], slope: float) -> None:
        self._spec = spec
        self._levels = levels
        self._slope = slope
        self._boxes = person_boxes(levels, spec.height, spec.width)
        self._hog = cv2.HOGDescriptor()
        self._hog.setSVMDetector(people_detector())

    def __call__(self, frames: NDArray[np.uint8], score_threshold: float) -> list[Rows]:
        """Rows `[n, 6]` of each frame, best first, of NV12 frames uint8 `[b, height * 3 / 2, width]`."""
        return [self._rows(grey_of(frame[: self._spec.height]), score_threshold) for frame in frames]

    def distances(self, grey: NDArray[np.uint8], floor: float) -> NDArray[np.float64]:
        """Distance of every window at or above `floor`, -inf for the others: `[n]`, windows as in `person_boxes`."""
        return np.concatenate([self._level_distances(grey, level, floor) for level in self._levels])

    def _level_distances(self, grey: NDArray[np.uint8], level: Level, floor: float) -> NDArray[np.float64]:
        smooth = cv2.resize(grey.astype(np.float32), (level.width, level.height), interpolation=cv2.INTER_LINEAR)
        scaled = np.floor(smooth + 0.501).astype(np.uint8)
        edges = (level.margin,) * 4
        padded = cv2.copyMakeBorder(scaled, *edges, borderType=cv2.BORDER_REPLICATE)
        corners, weights = self._hog.detect(padded, hitThreshold=floor, winStride=(8, 8))
        distances = np.full(level.grid, -np.inf)
        if len(corners):
            x, y = np.asarray(corners).reshape(-1, 2).T // 8
            distances[y, x] = np.asarray(weights).ravel()
        return distances.ravel()

    def _rows(self, grey: NDArray[np.uint8], score_threshold: float) -> Rows:
        floor = float(np.log(score_threshold / (1 - score_threshold))) / self._slope
        scores = 1 / (1 + np.exp(-self._slope * self.distances(grey, floor)))
        hits = np.flatnonzero(scores > score_threshold)
        kept = _suppressed(self._boxes[hits], scores[hits], self._spec)
        table = np.zeros((len(kept), 6), np.float32)
        table[:, :4], table[:, 4] = self._boxes[hits][kept], scores[hits][kept]
        return table


def people_detector() -> NDArray[np.float32]:
    """OpenCV's coefficients of its people detector and their bias: `[3781]`."""
    return np.asarray(cv2.HOGDescriptor.getDefaultPeopleDetector(), dtype=np.float32).ravel()


def grey_of(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Expand limited-range luma to levels 0 to 255 (ITU-R BT.601-7)."""
    return np.clip(np.rint((luma.astype(np.float64) - 16) * 255 / 219), 0, 255).astype(np.uint8)


def _suppressed(boxes: NDArray[np.float32], scores: NDArray[np.float64], spec: ModelSpec) -> list[int]:
    """Greedy suppression: indices of the boxes that stay, best first."""
    order = np.argsort(-scores, kind="stable").tolist()
    kept: list[int] = []
    while order and len(kept) < spec.max_detections:
        best = order.pop(0)
        kept.append(best)
        order = [other for other in order if _overlap(boxes[best], boxes[other]) <= spec.nms_iou]
    return kept


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    if (sides <= 0).any():
        return 0.0
    shared = float(sides.prod())
    return shared / float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared)
