"""From PyAV's frames to planes."""

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange

from gateway.domain.frame import Frame, UInt8Array

FULL_RANGE = frozenset({"yuvj420p", "yuv420p"})
LUMA_SCALE, LUMA_OFFSET = 219 / 255, 16.0
CHROMA_SCALE, CHROMA_OFFSET = 224 / 255, 128 - 128 * 224 / 255
_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


def to_frame(picture: av.VideoFrame, index: int, pts_s: float, time_s: float) -> Frame:
    """Give a decoded picture as limited-range YUV 4:2:0 planes, upright.

    Planes that are so already are viewed, not copied. Full range is scaled to limited range plane by plane (four times
    faster than swscale does it); any other layout or depth goes through swscale; a rotation by quarter turns that the
    container states is carried out. A matrix other than BT.601's is left as it is.
    """
    luma, chroma_u, chroma_v = _upright(_planes(picture), picture.rotation)
    return Frame(index, pts_s, time_s, luma, chroma_u, chroma_v)


def _planes(picture: av.VideoFrame) -> list[UInt8Array]:
    full = picture.format.name == "yuvj420p" or picture.color_range == ColorRange.JPEG
    if full and picture.format.name in FULL_RANGE:
        luma, *chroma = (_view(plane) for plane in picture.planes)
        return [
            _scaled(luma, LUMA_SCALE, LUMA_OFFSET),
            *(_scaled(plane, CHROMA_SCALE, CHROMA_OFFSET) for plane in chroma),
        ]
    if full or picture.format.name != "yuv420p":
        picture = picture.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
    return [_view(plane) for plane in picture.planes]


def _view(plane: VideoPlane) -> UInt8Array:
    rows: UInt8Array = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _scaled(plane: UInt8Array, scale: float, offset: float) -> UInt8Array:
    return np.asarray(cv2.convertScaleAbs(plane, alpha=scale, beta=offset), np.uint8)


def _upright(planes: list[UInt8Array], degrees_anticlockwise: int) -> list[UInt8Array]:
    rotation = _ROTATIONS.get(degrees_anticlockwise % 360)
    if rotation is None:
        return planes
    return [np.asarray(cv2.rotate(plane, rotation), np.uint8) for plane in planes]
