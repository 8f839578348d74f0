"""Where a picture lies on a model's input canvas, and the way back for what was found there."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gateway.domain.detections import Float32Array


class LetterboxMode(StrEnum):
    """How a picture is fitted into the canvas (`ruth.letterbox` of the model contract)."""

    CENTER = "center"
    TOP_LEFT = "top_left"
    STRETCH = "stretch"


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Placement of a source picture on a canvas: `canvas = source * scale + offset`.

    Offsets and the placed size are even, so that the half-resolution chroma planes line up with the luma plane.

    Attributes:
        canvas_wh: Canvas width and height in pixels, both even.
        placed_wh: Width and height of the scaled picture on the canvas.
        offset_xy: Left and top margin in pixels.
        scale_xy: Scale factors from source to canvas.
    """

    canvas_wh: tuple[int, int]
    placed_wh: tuple[int, int]
    offset_xy: tuple[int, int]
    scale_xy: tuple[float, float]

    @classmethod
    def fit(cls, source_wh: tuple[int, int], canvas_wh: tuple[int, int], mode: LetterboxMode) -> "Letterbox":
        """Place a picture of `source_wh` pixels on a canvas of `canvas_wh` pixels."""
        (source_w, source_h), (canvas_w, canvas_h) = source_wh, canvas_wh
        if mode is LetterboxMode.STRETCH:
            return cls(canvas_wh, canvas_wh, (0, 0), (canvas_w / source_w, canvas_h / source_h))
        scale = min(canvas_w / source_w, canvas_h / source_h)
        placed = (_even(source_w * scale, canvas_w), _even(source_h * scale, canvas_h))
        offset = (0, 0)
        if mode is LetterboxMode.CENTER:
            offset = ((canvas_w - placed[0]) // 4 * 2, (canvas_h - placed[1]) // 4 * 2)
        return cls(canvas_wh, placed, offset, (placed[0] / source_w, placed[1] / source_h))

    def to_source(self, xy: Float32Array, source_wh: tuple[int, int]) -> Float32Array:
        """Map `(..., 2)` canvas points to source pixels, clipped to the picture."""
        offset = np.asarray(self.offset_xy, np.float32)
        scale = np.asarray(self.scale_xy, np.float32)
        source: Float32Array = np.clip((xy - offset) / scale, 0, np.asarray(source_wh, np.float32), dtype=np.float32)
        return source


def _even(length: float, limit: int) -> int:
    """Round to the nearest even number in 2..limit."""
    return max(2, min(limit, round(length / 2) * 2))
