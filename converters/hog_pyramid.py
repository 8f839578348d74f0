"""The ladder of scales at which windows are looked at, and where each window's person is on the canvas."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.hog_graph import STRIDE, WINDOW_HEIGHT, WINDOW_WIDTH

PERSON_TOP = 16
PERSON_HEIGHT = 96
"""OpenCV's coefficients were trained on people of 96 px in windows of 128, with 16 px above and below."""

PERSON_WIDTH = 40
"""0.41 of the height, the mean aspect of a pedestrian (Dollar et al., TPAMI 2012); the window is far wider."""


@dataclass(frozen=True, slots=True)
class Level:
    """The canvas at one scale.

    Attributes:
        height: Pixels of the scaled canvas.
        width: As `height`.
        margin: Pixels by which its edge is repeated outwards, so that a person at the picture's edge fits a window.
    """

    height: int
    width: int
    margin: int

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        rows = (self.height + 2 * self.margin - WINDOW_HEIGHT) // STRIDE + 1
        columns = (self.width + 2 * self.margin - WINDOW_WIDTH) // STRIDE + 1
        return rows, columns


def ladder(height: int, width: int, *, ratio: float, margin: int) -> list[Level]:
    """Shrink the canvas step by step, sizes rounded as OpenCV rounds them, until no window fits it.

    Args:
        height: Of the canvas in pixels.
        width: As `height`.
        ratio: Of the sizes of neighbouring levels, above 1.
        margin: Of every level, in its own pixels.
    """
    levels: list[Level] = []
    while True:
        scale = ratio ** len(levels)
        level = Level(round(height / scale), round(width / scale), margin)
        if min(level.grid) < 1:
            return levels
        levels.append(level)


def person_boxes(levels: list[Level], height: int, width: int) -> NDArray[np.float32]:
    """Box of the person in each window: `[n, 4]`, x1, y1, x2, y2 in canvas pixels, clipped to the canvas.

    Windows go level by level, in each row by row.
    """
    boxes = [_boxes_of(level) * ((width / level.width, height / level.height) * 2) for level in levels]
    return np.clip(np.concatenate(boxes), 0, (width, height, width, height)).astype(np.float32)


def _boxes_of(level: Level) -> NDArray[np.float64]:
    """Boxes in the level's own pixels."""
    rows, columns = level.grid
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * STRIDE - level.margin
    left, top = x + (WINDOW_WIDTH - PERSON_WIDTH) / 2, y + PERSON_TOP
    return np.stack([left, top, left + PERSON_WIDTH, top + PERSON_HEIGHT], axis=1)
