"""From a frame's planes to a model's NV12 canvas, written once and in place."""

import cv2

from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.letterbox import Letterbox

NEUTRAL_CHROMA = 128


class Canvas:
    """A model's canvas and the place on it where pictures of one size go; what lies beside it is written at once.

    Args:
        memory: `(H*3/2, W)` uint8: NV12, luma rows first, then interleaved chroma.
        letterbox: Where pictures are placed.
        pad_luma: Luma beside them.
    """

    def __init__(self, memory: UInt8Array, letterbox: Letterbox, pad_luma: int) -> None:
        self.letterbox = letterbox
        width, height = letterbox.canvas_wh
        luma, chroma = memory[:height], memory[height:].reshape(height // 2, width // 2, 2)
        (left, top), (placed_w, placed_h) = letterbox.offset_xy, letterbox.placed_wh
        self._luma_wh = placed_w, placed_h
        self._chroma_wh = placed_w // 2, placed_h // 2
        self._luma = _padded(luma, (left, top), self._luma_wh, pad_luma)
        self._chroma = _padded(chroma, (left // 2, top // 2), self._chroma_wh, NEUTRAL_CHROMA)

    def write(self, frame: Frame) -> None:
        """Scale a frame into its place. Planes are scaled separately (bilinear), never through RGB."""
        cv2.resize(frame.luma, self._luma_wh, self._luma, interpolation=cv2.INTER_LINEAR)
        chroma = [
            cv2.resize(plane, self._chroma_wh, interpolation=cv2.INTER_LINEAR)
            for plane in (frame.chroma_u, frame.chroma_v)
        ]
        cv2.merge(chroma, self._chroma)


def _padded(plane: UInt8Array, offset_xy: tuple[int, int], placed_wh: tuple[int, int], value: int) -> UInt8Array:
    """Fill what lies beside a place in a plane; a view of the place."""
    (left, top), (width, height) = offset_xy, placed_wh
    plane[:top] = value
    plane[top + height :] = value
    plane[top : top + height, :left] = value
    plane[top : top + height, left + width :] = value
    return plane[top : top + height, left : left + width]
