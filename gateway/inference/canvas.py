"""From a frame's planes to a model's NV12 canvas, written once and in place."""

import cv2
import numpy as np

from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.letterbox import Letterbox

NEUTRAL_CHROMA = 128


def write_canvas(frame: Frame, letterbox: Letterbox, pad_luma: int, canvas: UInt8Array) -> None:
    """Scale and letterbox a frame into `canvas`, `(H*3/2, W)` uint8: NV12, luma rows first, then interleaved chroma.

    Planes are scaled separately (bilinear), never through RGB. Every byte of the canvas is written.
    """
    width, height = letterbox.canvas_wh
    placed_w, placed_h = letterbox.placed_wh
    left, top = letterbox.offset_xy
    luma = canvas[:height]
    chroma = canvas[height:].reshape(height // 2, width // 2, 2)
    _pad(luma, letterbox.offset_xy, letterbox.placed_wh, pad_luma)
    _scale(frame.luma, luma[top : top + placed_h, left : left + placed_w])
    half_offset, half_placed = (left // 2, top // 2), (placed_w // 2, placed_h // 2)
    _pad(chroma, half_offset, half_placed, NEUTRAL_CHROMA)
    target = chroma[half_offset[1] :, half_offset[0] :][: half_placed[1], : half_placed[0]]
    target[..., 0] = _scaled(frame.chroma_u, half_placed)
    target[..., 1] = _scaled(frame.chroma_v, half_placed)


def _scaled(plane: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    if plane.shape == size_wh[::-1]:
        return plane
    return np.asarray(cv2.resize(plane, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def _scale(plane: UInt8Array, target: UInt8Array) -> None:
    if plane.shape == target.shape:
        np.copyto(target, plane)
    else:
        cv2.resize(plane, target.shape[::-1], dst=target, interpolation=cv2.INTER_LINEAR)


def _pad(plane: UInt8Array, offset_xy: tuple[int, int], placed_wh: tuple[int, int], value: int) -> None:
    (left, top), (width, height) = offset_xy, placed_wh
    plane[:top] = value
    plane[top + height :] = value
    plane[top : top + height, :left] = value
    plane[top : top + height, left + width :] = value
