"""Painting a posed person and his shadow onto a BGR picture, anti-aliased."""

import cv2
import numpy as np
import numpy.typing as npt

from gateway.sources.demo.figure import SHOULDER_WIDTH, Arm, Box, Figure, Leg, Point
from gateway.sources.demo.walk import BGR

Picture = npt.NDArray[np.uint8]

SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates: sixteenths of a pixel."""

FAR = 0.72
"""Brightness of the far limbs over that of the clothes."""

NEAR_ARM = 0.88


def draw(canvas: Picture, figure: Figure) -> None:
    """Paint a person onto a BGR picture `(H, W, 3)` uint8, in place; what lies outside the picture is left out."""
    _draw_arm(canvas, figure, figure.arms[0], FAR)
    _draw_leg(canvas, figure, figure.legs[0], FAR)
    _draw_leg(canvas, figure, figure.legs[1], 1.0)
    _draw_torso(canvas, figure)
    _draw_head(canvas, figure)
    _draw_arm(canvas, figure, figure.arms[1], NEAR_ARM)
    if figure.look.bag:
        _draw_bag(canvas, figure)


def shadow_box(feet_xy: tuple[float, float], height_px: float) -> Box:
    """`x1, y1, x2, y2` of the ground that a person's shadow darkens, in pixels."""
    x, y = feet_xy
    return x - 0.24 * height_px, y - 0.052 * height_px, x + 0.24 * height_px, y + 0.052 * height_px


def draw_shadow(canvas: Picture, feet_xy: tuple[float, float], height_px: float) -> None:
    """Darken a soft ellipse on the ground of a BGR picture, in place."""
    x, y = feet_xy
    height, width = canvas.shape[:2]
    x1, y1, x2, y2 = (round(edge) for edge in shadow_box(feet_xy, height_px))
    left, right, top, bottom = max(0, x1), min(width, x2), max(0, y1), min(height, y2)
    if top >= bottom or left >= right:
        return
    ys, xs = np.ogrid[top:bottom, left:right]
    distance = ((xs - x) / (0.12 * height_px)) ** 2 + ((ys - y) / (0.022 * height_px)) ** 2
    strength = 1 - 0.5 * np.exp(-distance).astype(np.float32)[..., None]
    canvas[top:bottom, left:right] = (canvas[top:bottom, left:right] * strength).astype(np.uint8)


def _draw_leg(canvas: Picture, figure: Figure, leg: Leg, shade: float) -> None:
    h, build, look = figure.height_px, figure.look.build, figure.look
    trousers, shoes = _shaded(look.trousers, shade), _shaded(look.shoes, shade)
    _capsule(canvas, leg.ankle, leg.toe, 0.026 * h, 0.017 * h, shoes)
    _capsule(canvas, leg.knee, leg.ankle, 0.042 * h * build, 0.029 * h, trousers)
    _capsule(canvas, leg.hip, leg.knee, 0.060 * h * build, 0.043 * h * build, trousers)


def _draw_arm(canvas: Picture, figure: Figure, arm: Arm, shade: float) -> None:
    h, build, look = figure.height_px, figure.look.build, figure.look
    sleeve = _shaded(look.top, shade)
    _disc(canvas, arm.hand + 0.12 * (arm.hand - arm.elbow), 0.023 * h, _shaded(look.skin, shade))
    _capsule(canvas, arm.elbow, arm.hand, 0.029 * h * build, 0.021 * h, sleeve)
    _capsule(canvas, arm.shoulder, arm.elbow, 0.037 * h * build, 0.030 * h * build, sleeve)


def _draw_torso(canvas: Picture, figure: Figure) -> None:
    h, build, look = figure.height_px, figure.look.build, figure.look
    shoulder, waist, hip = SHOULDER_WIDTH * h * build, 0.082 * h * build, 0.090 * h * build
    neck, pelvis = figure.neck, figure.pelvis
    middle = neck + (pelvis - neck) * 0.62
    hem = pelvis + complex(0, 0.035 * h)
    _capsule(canvas, neck, figure.head, 0.034 * h, 0.030 * h, _shaded(look.skin, 0.85))
    right = [
        neck + complex(0.035 * h, -0.022 * h),
        neck + complex(0.8 * shoulder, -0.002 * h),
        neck + complex(shoulder, 0.018 * h),
        neck + complex(shoulder, 0.07 * h),
        middle + waist,
        hem + hip,
    ]
    left = [complex(2 * neck.real - point.real, point.imag) for point in reversed(right[:4])]
    _polygon(canvas, [*right, hem - hip, middle - waist, *left], look.top)
    back = -figure.facing
    strip = [
        neck + complex(back * shoulder, 0.02 * h),
        neck + back * 0.35 * shoulder,
        hem + back * 0.35 * hip,
        hem + back * hip,
        middle + back * waist,
    ]
    _polygon(canvas, strip, _shaded(look.top, 0.86))


def _draw_head(canvas: Picture, figure: Figure) -> None:
    h, look, facing, head = figure.height_px, figure.look, figure.facing, figure.head
    if look.long_hair:
        _capsule(canvas, head - complex(facing * 0.016 * h, 0.01 * h), head + complex(-facing * 0.03 * h, 0.085 * h),
                 0.052 * h, 0.034 * h, look.hair)  # fmt: skip
    _ellipse(canvas, head - complex(facing * 0.006 * h, 0.012 * h), complex(0.056 * h, 0.066 * h), look.hair)
    _ellipse(canvas, head + complex(facing * 0.014 * h, 0.012 * h), complex(0.043 * h, 0.056 * h), look.skin)


def _draw_bag(canvas: Picture, figure: Figure) -> None:
    h = figure.height_px
    colour = _shaded(figure.look.shoes, 1.25)
    centre = figure.pelvis + complex(-figure.facing * 0.075 * h, 0.0)
    _capsule(canvas, figure.neck + complex(figure.facing * 0.05 * h, 0), centre, 0.008 * h, 0.008 * h, colour)
    _capsule(canvas, centre - complex(0.02 * h, 0), centre + complex(0.02 * h, 0.05 * h), 0.036 * h, 0.040 * h, colour)


def _shaded(colour: BGR, factor: float) -> BGR:
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red


def _fixed(point: Point) -> tuple[int, int]:
    return round(point.real * (1 << SHIFT)), round(point.imag * (1 << SHIFT))


def _polygon(canvas: Picture, points: list[Point], colour: BGR) -> None:
    cv2.fillPoly(canvas, [np.array([_fixed(point) for point in points])], colour, cv2.LINE_AA, SHIFT)


def _disc(canvas: Picture, centre: Point, radius_px: float, colour: BGR) -> None:
    cv2.circle(canvas, _fixed(centre), round(radius_px * (1 << SHIFT)), colour, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _ellipse(canvas: Picture, centre: Point, half_axes_px: Point, colour: BGR) -> None:
    axes = _fixed(half_axes_px)
    cv2.ellipse(canvas, _fixed(centre), axes, 0, 0, 360, colour, cv2.FILLED, cv2.LINE_AA, SHIFT)


def _capsule(canvas: Picture, start: Point, end: Point, start_px: float, end_px: float, colour: BGR) -> None:
    """A limb: two discs of the given radii and what lies between them."""
    along = end - start
    across = 1j * along / max(abs(along), 1e-6)
    hull = [start + across * start_px, end + across * end_px, end - across * end_px, start - across * start_px]
    _polygon(canvas, hull, colour)
    _disc(canvas, start, start_px, colour)
    _disc(canvas, end, end_px, colour)
