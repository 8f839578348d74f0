"""From PyAV's frames to planes."""

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange

from gateway.domain.frame import Frame, UInt8Array


def to_frame(picture: av.VideoFrame, index: int, pts_s: float, time_s: float) -> Frame:
    """View a decoded picture's planes; converted first only if it isn't limited-range YUV 4:2:0 already."""
    if picture.format.name != "yuv420p" or picture.color_range == ColorRange.JPEG:
        picture = picture.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
    luma, chroma_u, chroma_v = (_view(plane) for plane in picture.planes)
    return Frame(index, pts_s, time_s, luma, chroma_u, chroma_v)


def _view(plane: VideoPlane) -> UInt8Array:
    rows: UInt8Array = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
