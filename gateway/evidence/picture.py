"""A frame as JPEG, with the zone and the objects drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gateway.domain.definitions import WHOLE_PICTURE
from gateway.domain.frame import Frame, UInt8Array

QUALITY = 85
VIOLATION_BGR = (48, 48, 235)
OBJECT_BGR = (90, 190, 60)
ZONE_BGR = (0, 190, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to draw: x1, y1, x2, y2 in source pixels, and what to write at it.

    Attributes:
        box: Corners in source pixels.
        text: Written above the box.
        violates: Whether this object is the violation.
    """

    box: tuple[float, float, float, float]
    text: str
    violates: bool


def render_jpeg(frame: Frame, zone: Sequence[tuple[float, float]], marks: Sequence[Mark], caption: str) -> bytes:
    """Draw a zone (fractions of the picture; not the whole picture), boxes and a caption at the frame's own resolution.

    Returns:
        A JPEG file.

    Raises:
        ValueError: The picture can't be encoded.
    """
    picture = _to_bgr(frame)
    height, width = picture.shape[:2]
    thickness = max(1, round(min(width, height) / 360))
    if tuple(zone) != WHOLE_PICTURE:
        _draw_zone(picture, np.rint(np.asarray(zone) * (width, height)).astype(np.int32), thickness)
    for mark in sorted(marks, key=lambda m: m.violates):
        _draw_mark(picture, mark, thickness)
    _write(picture, caption, (0, height), (32, 32, 32), thickness)
    encoded, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not encoded:
        raise ValueError(f"a picture of {width}x{height} can't be encoded as JPEG")
    return content.tobytes()


def _to_bgr(frame: Frame) -> UInt8Array:
    width, height = frame.resolution_wh
    chroma = np.stack([frame.chroma_u, frame.chroma_v], axis=-1)
    luma = frame.luma
    if width % 2 or height % 2:  # OpenCV wants whole chroma pixels
        luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge")
    picture = cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2BGR_NV12)
    return np.ascontiguousarray(picture[:height, :width], np.uint8)


def _draw_zone(picture: UInt8Array, corners: np.ndarray, thickness: int) -> None:
    tint = picture.copy()
    cv2.fillPoly(tint, [corners], ZONE_BGR)
    cv2.addWeighted(tint, 0.15, picture, 0.85, 0, dst=picture)
    cv2.polylines(picture, [corners], True, ZONE_BGR, thickness, cv2.LINE_AA)


def _draw_mark(picture: UInt8Array, mark: Mark, thickness: int) -> None:
    x1, y1, x2, y2 = (round(v) for v in mark.box)
    color = VIOLATION_BGR if mark.violates else OBJECT_BGR
    cv2.rectangle(picture, (x1, y1), (x2, y2), color, thickness * (2 if mark.violates else 1), cv2.LINE_AA)
    _write(picture, mark.text, (x1, y1), color, thickness)


def _write(
    picture: UInt8Array, text: str, corner_xy: tuple[int, int], background: tuple[int, int, int], thickness: int
) -> None:
    """Write text on a plate whose lower left corner is `corner_xy`, moved into the picture where it would stand out."""
    height, width = picture.shape[:2]
    scale = 0.45 * max(1.0, min(width, height) / 480)
    (text_w, text_h), base = cv2.getTextSize(text, _FONT, scale, thickness)
    pad = max(3, base // 2)
    plate_w, plate_h = text_w + 2 * pad, text_h + base + pad
    x = max(0, min(corner_xy[0], width - plate_w))
    y = min(height, max(corner_xy[1], plate_h))
    cv2.rectangle(picture, (x, y - plate_h), (x + plate_w, y), background, cv2.FILLED)
    cv2.putText(picture, text, (x + pad, y - base), _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)
