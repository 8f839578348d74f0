"""How far two detectors agree on the same frames: boxes matched one to one, as a single figure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.parity import Rows
from converters.reference import iou

MATCH_IOU = 0.5
"""Overlap from which two boxes of one class are the same object (the convention of PASCAL VOC)."""


ENOUGH_BOXES = 10
"""Fewer boxes to find say nothing about who finds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Counts over all frames.

    Attributes:
        f1: `2 matched / (2 matched + missed + extra)`, 0 to 1; 1 where there is nothing to find.
        matched: Boxes that both have.
        missed: Boxes that only the first has.
        extra: Boxes that only the second has.
    """

    f1: float
    matched: int
    missed: int
    extra: int

    def __str__(self) -> str:
        return f"F1 {self.f1:.4f} ({self.matched} boxes matched, {self.missed} missed, {self.extra} extra)"


def agreement(expected: Rows, found: Rows) -> Agreement:
    """Compare two lists of rows `[n, 6 + 3K]`, one per frame, each best first."""
    matched = sum(_matched(wanted, rows) for wanted, rows in zip(expected, found, strict=True))
    missed, extra = sum(map(len, expected)) - matched, sum(map(len, found)) - matched
    counted = 2 * matched + missed + extra
    return Agreement(f1=2 * matched / counted if counted else 1.0, matched=matched, missed=missed, extra=extra)


def _matched(expected: NDArray[np.float32], found: NDArray[np.float32]) -> int:
    """Pair each row, best first, with the free row of its class that overlaps it most."""
    free = np.ones(len(found), dtype=bool)
    for row in expected:
        overlap = np.where(free & (found[:, 5] == row[5]), iou(row[:4], found[:, :4]), 0)
        if overlap.size and overlap.max() >= MATCH_IOU:
            free[overlap.argmax()] = False
    return int((~free).sum())
