"""What every rule has in common, and the geometry that rules are drawn with."""

import zoneinfo
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
import shapely
from shapely.validation import explain_validity

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Polygon = Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=100)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Labels = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]

WHOLE_PICTURE: tuple[Point, ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Anchor(StrEnum):
    """Which part of a box must lie in the zone."""

    FEET = "feet"
    CENTER = "center"
    ANY_OVERLAP = "any_overlap"


class Day(StrEnum):
    """A day of the week, in the order of `datetime.weekday`."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a rule holds, by the clock on the wall at the camera.

    Attributes:
        days: The days on which the hours begin.
        start: Local time, `HH:MM`, at which it begins to hold.
        end: Local time at which it ceases; at or before `start` it is the next day's.
        time_zone: IANA name, as `Europe/Berlin`.
    """

    days: Annotated[tuple[Day, ...], msgspec.Meta(min_length=1, max_length=7)] = tuple(Day)
    start: TimeOfDay = "00:00"
    end: TimeOfDay = "00:00"
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a time zone that isn't known here.

        Raises:
            ValueError: Names it.
        """
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"the time zone {self.time_zone!r} isn't known; give an IANA name") from error


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every rule has.

    Attributes:
        min_duration_s: It must hold this long, in frame time, before it is a violation.
        max_gap_s: Not seen for up to this long, in frame time, is still the same episode.
        cooldown_s: After a violation of this rule the next one begins this much later at the earliest.
        schedule: When the rule holds; always, where absent.
    """

    type: ClassVar[str]

    min_duration_s: Seconds = 1.0
    max_gap_s: Seconds = 2.0
    cooldown_s: Seconds = 0.0
    schedule: Schedule | None = None

    def counted_labels(self) -> tuple[str, ...]:
        """The classes that the rule asks a model for."""
        return ()

    def outline(self) -> tuple[Point, ...]:
        """What is drawn into the evidence: corners in fractions of the picture."""
        return WHOLE_PICTURE


class ObjectDefinition(Definition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every rule about objects has beside that.

    Attributes:
        labels: Classes that count.
        min_score: Detections below this score begin nothing.
        keep_score: Detections from this score on continue what was begun; absent: `min_score`.
        anchor: Which part of the box must lie in the zone.
    """

    labels: Labels = ("person",)
    min_score: Fraction = 0.0
    keep_score: Fraction | None = None
    anchor: Anchor = Anchor.FEET

    def counted_labels(self) -> tuple[str, ...]:
        """The classes that the rule asks a model for."""
        return self.labels


class ZoneDefinition(ObjectDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every rule about objects in a zone has beside that.

    Attributes:
        zone: Corners of a polygon in fractions of the picture's width and height; it must not cross itself.
    """

    zone: Polygon = WHOLE_PICTURE

    def __post_init__(self) -> None:
        """Refuse a zone that isn't a simple polygon.

        Raises:
            ValueError: The polygon crosses or touches itself, or has no area.
        """
        check_polygon(self.zone)

    def outline(self) -> tuple[Point, ...]:
        """The zone."""
        return self.zone


class GroundPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point of the ground as the picture shows it, and where it is.

    Attributes:
        picture: x, y in fractions of the picture's width and height.
        metres: x, y on the ground, in metres from an origin of one's choice.
    """

    picture: Point
    metres: tuple[float, float]


GroundPlane = Annotated[tuple[GroundPoint, ...], msgspec.Meta(min_length=4, max_length=100)]
"""Four points of the ground or more, no three of the first four in a line: enough for a homography."""


def check_polygon(corners: tuple[Point, ...]) -> None:
    """Refuse what isn't a simple polygon.

    Raises:
        ValueError: It crosses or touches itself, or has no area.
    """
    polygon = shapely.Polygon(corners)
    if not polygon.is_valid or polygon.area == 0:
        raise ValueError(
            f"the zone's polygon is not simple ({explain_validity(polygon)}); "
            "give its corners in order around the area, without crossing lines"
        )


def check_ground_plane(points: tuple[GroundPoint, ...]) -> None:
    """Refuse points that no plane can be laid through.

    Raises:
        ValueError: Their picture points or their ground points lie in one line.
    """
    for what, corners in (("picture", [p.picture for p in points]), ("ground", [p.metres for p in points])):
        if shapely.MultiPoint(corners).convex_hull.area <= 0:
            raise ValueError(f"the {what} points of the ground plane lie in one line; spread them over the floor")
