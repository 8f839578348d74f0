"""From a frame's planes to a model's NV12 canvas, written once and in place."""

import cv2
import numpy as np

from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.letterbox import Letterbox

NEUTRAL_CHROMA = 128


def write_canvas(
    frame: Frame, letterbox: Letterbox, pad_luma: int, canvas: UInt8Array, *, padded: bool = False
) -> None:
    """Scale and letterbox a frame into `canvas`, `(H*3/2, W)` uint8: NV12, luma rows first, then interleaved chroma.

    Planes are scaled separately (bilinear), never through RGB. Every byte of the canvas is written, unless what lies
    beside the picture is `padded` already.
    """
    width, height = letterbox.canvas_wh
    (left, top), (placed_w, placed_h) = letterbox.offset_xy, letterbox.placed_wh
    luma = canvas[:height]
    chroma = canvas[height:].reshape(height // 2, width // 2, 2)
    half_left, half_top, half_w, half_h = left // 2, top // 2, placed_w // 2, placed_h // 2
    if not padded:
        _pad(luma, letterbox.offset_xy, letterbox.placed_wh, pad_luma)
        _pad(chroma, (half_left, half_top), (half_w, half_h), NEUTRAL_CHROMA)
    _scale(frame.luma, luma[top : top + placed_h, left : left + placed_w])
    target = chroma[half_top : half_top + half_h, half_left : half_left + half_w]
    cv2.merge((_scaled(frame.chroma_u, (half_w, half_h)), _scaled(frame.chroma_v, (half_w, half_h))), target)


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
