"""Rules about how objects move."""

from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from gateway.domain.definitions.base import (
    GroundPlane,
    ObjectDefinition,
    Point,
    Seconds,
    ZoneDefinition,
    check_ground_plane,
)

Degrees = Annotated[float, msgspec.Meta(ge=0, lt=360)]


class Crossing(StrEnum):
    """Which way across a line counts, seen from its first point to its second."""

    LEFT_TO_RIGHT = "left_to_right"
    RIGHT_TO_LEFT = "right_to_left"
    BOTH = "both"


class LineCrossing(ObjectDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="line_crossing"):
    """An object goes across a line, and stays there for `min_duration_s`: one violation for each object and crossing.

    Attributes:
        line: Its two ends in fractions of the picture's width and height.
        direction: Which way counts.
        margin: An object counts as being on a side once it is this far from the line, in heights of its box: who
            stands on the line and sways doesn't cross it.
    """

    type: ClassVar[str] = "line_crossing"

    line: tuple[Point, Point]
    direction: Crossing = Crossing.BOTH
    margin: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    min_duration_s: Seconds = 0.0
    max_gap_s: Seconds = 1.0

    def __post_init__(self) -> None:
        """Refuse a line without a length.

        Raises:
            ValueError: Its ends are one point.
        """
        if self.line[0] == self.line[1]:
            raise ValueError("the line's two ends are the same point")

    def outline(self) -> tuple[Point, ...]:
        """The line."""
        return self.line


class WrongDirection(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wrong_direction"):
    """An object moves in a zone against the direction that is allowed there.

    Attributes:
        allowed_degrees: Direction of travel in the picture: 0 to the right, 90 down, 180 to the left, 270 up.
        tolerance_degrees: Up to this far from it is still allowed.
        min_speed: Slower than this isn't moving, in heights of its box per second.
    """

    type: ClassVar[str] = "wrong_direction"

    allowed_degrees: Degrees
    tolerance_degrees: Annotated[float, msgspec.Meta(gt=0, lt=180)] = 90.0
    min_speed: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.2


class Speed(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="speed"):
    """An object in a zone moves faster than is allowed, measured on the ground.

    Attributes:
        max_kmh: Faster than this is too fast.
        ground: Four points of the ground or more, with their places in metres.
        window_s: The speed is that over this much frame time.
    """

    type: ClassVar[str] = "speed"

    max_kmh: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    ground: GroundPlane
    window_s: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    min_duration_s: Seconds = 0.5

    def __post_init__(self) -> None:
        """Refuse a ground plane that can't be one, and a zone that isn't a simple polygon.

        Raises:
            ValueError: Says which.
        """
        super().__post_init__()
        check_ground_plane(self.ground)
