"""What lies between two lists of rows: which belong together, and how far apart they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.spec import ModelSpec, Task, Tolerance

Rows = list[NDArray[np.float32]]
"""One float32 `[n, 6 + 3K]` per picture, best first; of a classifier its scores `[C]`."""

_SAME_OBJECT_PX = 16.0
"""Rows further apart than this are different objects, not one object measured differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How two lists of rows differ.

    Attributes:
        rows: Rows that were matched.
        unmatched: Rows without a partner that no threshold or cut-off explains, and rows that are no numbers.
        box_px: Largest difference of a matched box edge, in canvas pixels.
        score: Largest difference of a matched score, keypoints' included. A classifier's list is one row.
    """

    rows: int = 0
    unmatched: int = 0
    box_px: float = 0.0
    score: float = 0.0

    def merged(self, other: "Difference") -> "Difference":
        """Return both as one."""
        return Difference(
            rows=self.rows + other.rows,
            unmatched=self.unmatched + other.unmatched,
            box_px=max(self.box_px, other.box_px),
            score=max(self.score, other.score),
        )

    def within(self, tolerance: Tolerance) -> bool:
        """Tell whether nothing is unmatched and no difference exceeds the tolerance."""
        return not self.unmatched and self.box_px <= tolerance.box_px and self.score <= tolerance.score

    def __str__(self) -> str:
        return (
            f"{self.rows} rows matched, {self.unmatched} not, "
            f"box differs by {self.box_px:.2g} px, score by {self.score:.2g}"
        )


def rows_of(detections: NDArray[np.float32], counts: NDArray[np.int32]) -> Rows:
    """Cut `detections` `[b, m, 6 + 3K]` at `num_detections` `[b, 1]`."""
    return [table[:count] for table, count in zip(detections, counts[:, 0], strict=True)]


@dataclass(frozen=True, slots=True)
class Judge:
    """Matches rows one to one and measures what is between them.

    Attributes:
        spec: Of the model.
        tolerance: Also how near a row must be to the threshold or to the cut at `max_detections` to be excused
            for having no partner.
        score_threshold: That the rows were made at.
    """

    spec: ModelSpec
    tolerance: Tolerance
    score_threshold: float

    def compare(self, expected: Rows, found: Rows) -> Difference:
        """Compare the rows of pictures, one by one."""
        total = Difference()
        for one, other in zip(expected, found, strict=True):
            total = total.merged(self._one(one, other))
        return total

    def _one(self, expected: NDArray[np.float32], found: NDArray[np.float32]) -> Difference:
        """Pair each expected row with the nearest free row of its class, best first."""
        if self.spec.task is Task.CLASSIFY:
            if not (np.isfinite(expected).all() and np.isfinite(found).all()):
                return Difference(unmatched=1)
            return Difference(rows=1, score=float(np.abs(expected - found).max()))
        void = sum(int((~np.isfinite(table)).any(axis=1).sum()) for table in (expected, found))
        expected, found = (table[np.isfinite(table).all(axis=1)] for table in (expected, found))
        free = list(range(len(found)))
        pairs: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
        lonely: list[NDArray[np.float32]] = []
        for row in expected:
            partner = _nearest(row, found, free)
            if partner is None:
                lonely.append(row)
            else:
                free.remove(partner)
                pairs.append((row, found[partner]))
        unmatched = void + sum(not self._excused(row, found) for row in lonely)
        unmatched += sum(not self._excused(found[index], expected) for index in free)
        return Difference(
            rows=len(pairs),
            unmatched=unmatched,
            box_px=max((_edge_px(row, other) for row, other in pairs), default=0.0),
            score=max((_score_difference(row, other) for row, other in pairs), default=0.0),
        )

    def _excused(self, row: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
        """A row may lack a partner at the very threshold, or where the other table was cut above it."""
        full = len(others) == self.spec.max_detections
        floor = float(others[-1, 4]) if full else self.score_threshold
        return bool(row[4] <= floor + self.tolerance.score)


def _edge_px(row: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest difference of a box edge or keypoint coordinate, in pixels."""
    far = np.abs(row - other)
    return float(max(far[:4].max(), far[6::3].max(initial=0), far[7::3].max(initial=0)))


def _score_difference(row: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest difference of the row's score or a keypoint's."""
    far = np.abs(row - other)
    return float(max(far[4], far[8::3].max(initial=0)))


def _nearest(row: NDArray[np.float32], found: NDArray[np.float32], free: Sequence[int]) -> int | None:
    """Return the free row of the same class whose box and score are nearest, None where none is near."""
    near = [index for index in free if found[index, 5] == row[5] and _edge_px(row, found[index]) <= _SAME_OBJECT_PX]
    return min(near, key=lambda index: _edge_px(row, found[index]) + abs(row[4] - found[index, 4]), default=None)
