"""A frame as two JPEGs: as it came, and with the zone and the objects drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gateway.domain.definitions import WHOLE_PICTURE, Point
from gateway.domain.frame import Frame, UInt8Array
from gateway.evidence.lettering import text_coverage

QUALITY = 85
VIOLATION_BGR = (48, 48, 235)
OBJECT_BGR = (90, 190, 60)
ZONE_BGR = (0, 190, 255)


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


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn into a picture.

    Attributes:
        zone: Corners in fractions of the picture; the whole picture isn't drawn.
        marks: Boxes.
        caption: Written at the bottom.
    """

    zone: Sequence[Point]
    marks: Sequence[Mark]
    caption: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """A frame as JPEG files, at its own resolution."""

    annotated: bytes
    clean: bytes


def take_pictures(frame: Frame, drawing: Drawing, masks: Sequence[Sequence[Point]] = ()) -> Pictures:
    """Make both pictures of a frame, black where a mask (corners in fractions of the picture) lies.

    Raises:
        ValueError: The picture can't be encoded.
    """
    picture = _to_bgr(frame)
    for mask in masks:
        cv2.fillPoly(picture, [to_pixels(mask, frame.resolution_wh)], (0, 0, 0))
    clean = _encode(picture)
    height, width = picture.shape[:2]
    thickness = max(1, round(min(width, height) / 360))
    if tuple(drawing.zone) != WHOLE_PICTURE:
        _draw_zone(picture, to_pixels(drawing.zone, (width, height)), thickness)
    for mark in sorted(drawing.marks, key=lambda m: m.violates):
        _draw_mark(picture, mark, thickness)
    _write(picture, drawing.caption, (0, height), (32, 32, 32))
    return Pictures(_encode(picture), clean)


def to_pixels(corners: Sequence[Point], resolution_wh: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Corners given in fractions of a picture as `(n, 2)` pixels of it."""
    return np.rint(np.asarray(corners) * resolution_wh).astype(np.int32)


def _encode(picture: UInt8Array) -> bytes:
    encoded, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not encoded:
        height, width = picture.shape[:2]
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


def _draw_zone(picture: UInt8Array, corners: npt.NDArray[np.int32], thickness: int) -> None:
    tint = picture.copy()
    cv2.fillPoly(tint, [corners], ZONE_BGR)
    cv2.addWeighted(tint, 0.15, picture, 0.85, 0, dst=picture)
    cv2.polylines(picture, [corners], True, ZONE_BGR, thickness, cv2.LINE_AA)


def _draw_mark(picture: UInt8Array, mark: Mark, thickness: int) -> None:
    x1, y1, x2, y2 = (round(v) for v in mark.box)
    color = VIOLATION_BGR if mark.violates else OBJECT_BGR
    cv2.rectangle(picture, (x1, y1), (x2, y2), color, thickness * (2 if mark.violates else 1), cv2.LINE_AA)
    _write(picture, mark.text, (x1, y1), color)


def _write(picture: UInt8Array, text: str, corner_xy: tuple[int, int], background: tuple[int, int, int]) -> None:
    """Write text on a plate whose lower left corner is `corner_xy`, moved into the picture where it would stand out."""
    height, width = picture.shape[:2]
    coverage = text_coverage(text, max(12, round(min(width, height) / 36)))
    pad = coverage.shape[0] // 6
    coverage = np.pad(coverage, pad)[:height, :width]
    plate_h, plate_w = coverage.shape
    x = max(0, min(corner_xy[0], width - plate_w))
    y = min(height, max(corner_xy[1], plate_h)) - plate_h
    opacity, ground = coverage[..., None] / np.float32(255), np.asarray(background, np.float32)
    picture[y : y + plate_h, x : x + plate_w] = (ground + (255 - ground) * opacity).astype(np.uint8)
