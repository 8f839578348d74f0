"""Three views of a frame by other means: pictures turned by NumPy, the original asked three times, a loop over rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.spec import ModelSpec, Reference

_LEFT, _RIGHT = 1, 3
"""Quarter turns counter-clockwise."""


@dataclass(frozen=True, slots=True)
class ThreeViews:
    """Merges what a reference says of a picture upright, turned left and turned right.

    Attributes:
        spec: Of the merged model: a square canvas; its last label is that of people in turned views.
        person: Class index of a person in each view.
        turned_weight: Factor on scores of turned views where they are compared with others.
        same_person: Share of the smaller box inside the other from which on two boxes are one person.
    """

    spec: ModelSpec
    person: int
    turned_weight: float
    same_person: float

    def of_nv12(
        self, reference: Reference, frames: NDArray[np.uint8], score_threshold: float
    ) -> list[NDArray[np.float32]]:
        """Return the merged rows of NV12 frames `[b, H * 3 / 2, W]`."""
        left, right = (np.stack([_turned_nv12(frame, turns) for frame in frames]) for turns in (_LEFT, _RIGHT))
        return self._asked(reference, (frames, left, right), score_threshold)

    def of_bgr(
        self, reference: Reference, canvases: NDArray[np.uint8], score_threshold: float
    ) -> list[NDArray[np.float32]]:
        """Return the merged rows of BGR canvases `[b, H, W, 3]`."""
        left, right = (np.ascontiguousarray(np.rot90(canvases, turns, axes=(1, 2))) for turns in (_LEFT, _RIGHT))
        return self._asked(reference, (canvases, left, right), score_threshold)

    def _asked(
        self,
        reference: Reference,
        views: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
        score_threshold: float,
    ) -> list[NDArray[np.float32]]:
        upright, left, right = (reference(view, score_threshold) for view in views)
        return [self.merged(*rows, score_threshold) for rows in zip(upright, left, right, strict=True)]

    def merged(
        self,
        upright: NDArray[np.float32],
        left: NDArray[np.float32],
        right: NDArray[np.float32],
        score_threshold: float,
    ) -> NDArray[np.float32]:
        """Merge the rows `[n, 6 + 3K]` of three views, each in its own view's pixels, best first."""
        people = [row for row in upright if row[5] == self.person]
        lying = [self._back(row, _LEFT) for row in left if row[5] == self.person]
        lying += [self._back(row, _RIGHT) for row in right if row[5] == self.person]
        lying = [row for row in lying if self._weight(row) > score_threshold]
        lying = [row for row in lying if not self._beaten(row, people)]
        lying = [row for row in lying if not self._beaten(row, lying)]
        people = [row for row in people if not self._beaten(row, lying)]
        others = [row for row in upright if row[5] != self.person]
        table = np.array([*others, *people, *lying], dtype=np.float32).reshape(-1, self.spec.row_width)
        return table[np.argsort(-table[:, 4], kind="stable")][: self.spec.max_detections]

    def _back(self, row: NDArray[np.float32], turns: int) -> NDArray[np.float32]:
        """Turn a row's points back into the upright picture, under the label of turned views."""
        side = self.spec.width
        xs, ys = np.r_[row[0:4:2], row[6::3]], np.r_[row[1:4:2], row[7::3]]
        xs, ys = (side - ys, xs) if turns == _LEFT else (ys, side - xs)
        back = row.copy()
        back[0:4:2], back[1:4:2] = np.sort(xs[:2]), np.sort(ys[:2])
        back[6::3], back[7::3] = xs[2:], ys[2:]
        back[5] = len(self.spec.labels) - 1
        return back

    def _weight(self, row: NDArray[np.float32]) -> float:
        return float(row[4] * np.float32(1 if row[5] == self.person else self.turned_weight))

    def _beaten(self, row: NDArray[np.float32], rivals: list[NDArray[np.float32]]) -> bool:
        return any(
            self._weight(rival) > self._weight(row) and _covered(row, rival) > self.same_person for rival in rivals
        )


def _turned_nv12(frame: NDArray[np.uint8], turns: int) -> NDArray[np.uint8]:
    """Turn luma and chroma of one square frame `[H * 3 / 2, W]` by quarter turns counter-clockwise."""
    side = frame.shape[1]
    luma = np.rot90(frame[:side], turns)
    chroma = np.rot90(frame[side:].reshape(side // 2, side // 2, 2), turns)
    return np.concatenate([luma, chroma.reshape(side // 2, side)])


def _covered(row: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the share (0 to 1) of the smaller box that lies inside the other."""
    shared = np.maximum(np.minimum(row[2:4], other[2:4]) - np.maximum(row[:2], other[:2]), 0).prod()
    smaller = min((box[2:4] - box[:2]).prod() for box in (row, other))
    return float(shared / smaller) if smaller > 0 else 0.0
