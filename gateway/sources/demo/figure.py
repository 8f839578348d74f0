"""A walking person as a skeleton, posed by the phase of the gait."""

import math
from dataclasses import dataclass

from gateway.sources.demo.walk import Look

Point = complex
"""A place in the picture in pixels, `x + 1j * y`."""

Box = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels."""

THIGH = 0.245
SHIN = 0.235
ANKLE = 0.035
UPPER_ARM = 0.165
FOREARM = 0.155
HIP_WIDTH = 0.062
SHOULDER_WIDTH = 0.092


@dataclass(frozen=True, slots=True)
class Leg:
    """Joints of a leg in picture pixels."""

    hip: Point
    knee: Point
    ankle: Point
    toe: Point


@dataclass(frozen=True, slots=True)
class Arm:
    """Joints of an arm in picture pixels."""

    shoulder: Point
    elbow: Point
    hand: Point


@dataclass(frozen=True, slots=True)
class Figure:
    """A posed person in picture pixels.

    Attributes:
        feet_xy: Where the body's axis meets the ground.
        height_px: The person's standing height.
        legs: The far one, then the near one.
        arms: As `legs`.
        pelvis: Middle of the hips.
        neck: Middle of the shoulders.
        head: Centre of the head.
        facing: 1 to the right, -1 to the left.
        look: Colours and build.
    """

    feet_xy: tuple[float, float]
    height_px: float
    legs: tuple[Leg, Leg]
    arms: tuple[Arm, Arm]
    pelvis: Point
    neck: Point
    head: Point
    facing: int
    look: Look

    def box(self) -> Box:
        """`x1, y1, x2, y2` around the painted body, unclipped."""
        h, build = self.height_px, self.look.build
        ends = [(self.head, 0.058, 0.078), (self.neck, SHOULDER_WIDTH * build, 0.02)]
        ends += [(leg.toe, 0.018, 0.018) for leg in self.legs]
        ends += [(leg.ankle, 0.03, 0.02) for leg in self.legs]
        ends += [(arm.elbow, 0.03 * build, 0.03) for arm in self.arms]
        ends += [(arm.hand, 0.03, 0.03) for arm in self.arms]
        xs = [point.real + sign * half_w * h for point, half_w, _ in ends for sign in (-1, 1)]
        ys = [point.imag + sign * half_h * h for point, _, half_h in ends for sign in (-1, 1)]
        return min(xs), min(ys), max(xs), max(ys)


def pose(
    feet_xy: tuple[float, float], height_px: float, phase: float, vigour: float, facing: int, look: Look
) -> Figure:
    """Pose a person.

    Joint angles follow the sinusoids of a relaxed walk: hips swing by 24 degrees, the knee of the leg that swings
    forward bends, arms go against the legs.

    Args:
        feet_xy: Where the body's axis meets the ground, in pixels.
        height_px: The person's height in pixels.
        phase: Of the gait in radians; a full turn is two steps.
        vigour: 0 standing to 1 in full stride.
        facing: 1 to the right, -1 to the left.
        look: Colours and build.
    """
    x, ground = feet_xy
    bends = [_leg_angles(phase + offset, vigour) for offset in (math.pi, 0.0)]
    pelvis = complex(x, ground - height_px * (ANKLE + max(_reach(hip, knee) for hip, knee in bends)))
    neck = pelvis + complex(facing * 0.02 * vigour * height_px, -0.325 * height_px)
    head = neck + complex(facing * 0.012 * height_px, -0.112 * height_px)
    sides = (-facing, facing)
    legs = [
        _leg(pelvis + complex(side * HIP_WIDTH * 0.55 * height_px * look.build, 0), hip, knee, facing, height_px)
        for side, (hip, knee) in zip(sides, bends, strict=True)
    ]
    arms = [
        _arm(neck, side, phase + offset, vigour, facing, height_px, look.build)
        for side, offset in zip(sides, (math.pi, 0.0), strict=True)
    ]
    return Figure(feet_xy, height_px, (legs[0], legs[1]), (arms[0], arms[1]), pelvis, neck, head, facing, look)


def _leg_angles(phase: float, vigour: float) -> tuple[float, float]:
    """Hip angle forwards from the vertical and knee bend, in radians."""
    hip = vigour * 0.42 * math.sin(phase)
    knee = 0.05 + vigour * (0.08 + 0.85 * max(0.0, math.cos(phase)) ** 2)
    return hip, knee


def _reach(hip: float, knee: float) -> float:
    """How far the ankle is below the hip, over the person's height."""
    return THIGH * math.cos(hip) + SHIN * math.cos(hip - knee)


def _along(start: Point, angle: float, length_px: float, facing: int) -> Point:
    return start + complex(facing * math.sin(angle) * length_px, math.cos(angle) * length_px)


def _leg(hip_xy: Point, hip: float, knee: float, facing: int, h: float) -> Leg:
    knee_xy = _along(hip_xy, hip, THIGH * h, facing)
    ankle = _along(knee_xy, hip - knee, SHIN * h, facing)
    toe = _along(ankle, math.pi / 2 - 0.3 + 0.5 * (hip - knee), 0.088 * h, facing)
    return Leg(hip_xy, knee_xy, ankle, toe)


def _arm(neck: Point, side: int, phase: float, vigour: float, facing: int, h: float, build: float) -> Arm:
    shoulder = neck + complex(side * 0.86 * SHOULDER_WIDTH * h * build, 0.04 * h)
    swing = -vigour * 0.36 * math.sin(phase)
    outward = side * facing * 0.10
    elbow = _along(shoulder, swing + outward, UPPER_ARM * h, facing)
    hand = _along(elbow, swing + 0.12 + vigour * 0.22, FOREARM * h, facing)
    return Arm(shoulder, elbow, hand)
