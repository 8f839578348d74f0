"""What counts as a violation, as a user defines it."""

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec
import shapely
from shapely.validation import explain_validity

from gateway.errors import InvalidInputError

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Point = tuple[Fraction, Fraction]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]

WHOLE_PICTURE: tuple[Point, ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Anchor(StrEnum):
    """Which point of a box must lie in the zone."""

    FEET = "feet"
    CENTER = "center"


class Severity(StrEnum):
    """How much a violation matters."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ZonePresence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="zone_presence"):
    """An object is inside a zone for some time.

    Attributes:
        zone: Corners of a polygon in fractions of the picture's width and height; it must not cross itself.
        labels: Classes that count.
        min_score: Detections below this score don't count.
        min_duration_s: Presence must last this long, in frame time, before it is a violation.
        max_gap_s: Missing for up to this long, in frame time, is still the same episode.
        anchor: Which point of the box must lie in the zone.
    """

    type: ClassVar[str] = "zone_presence"

    zone: Annotated[tuple[Point, ...], msgspec.Meta(min_length=3, max_length=100)] = WHOLE_PICTURE
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("person",)
    min_score: Fraction = 0.0
    min_duration_s: Seconds = 1.0
    max_gap_s: Seconds = 2.0
    anchor: Anchor = Anchor.FEET

    def __post_init__(self) -> None:
        """Refuse a zone that isn't a simple polygon.

        Raises:
            ValueError: The polygon crosses or touches itself, or has no area.
        """
        polygon = shapely.Polygon(self.zone)
        if not polygon.is_valid or polygon.area == 0:
            raise ValueError(
                f"the zone's polygon is not simple ({explain_validity(polygon)}); "
                "give its corners in order around the area, without crossing lines"
            )


RuleDefinition = ZonePresence


class RuleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user says of a rule.

    Attributes:
        name: For people.
        definition: The type of the rule and its parameters.
        severity: Severity of its violations.
        enabled: False keeps the rule on record without judging.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    definition: RuleDefinition
    severity: Severity = Severity.MEDIUM
    enabled: bool = True


def check_labels(settings: RuleSettings, known: Collection[str]) -> None:
    """Refuse labels that the model doesn't have.

    Raises:
        InvalidInputError: Names them, and what there is.
    """
    unknown = [label for label in settings.definition.labels if label not in known]
    if unknown:
        raise InvalidInputError(
            f"the rule {settings.name!r} counts {', '.join(unknown)}, which the model doesn't know; "
            f"it knows {', '.join(known)}"
        )


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule on record; `revision` grows with each change of its settings."""

    id: str
    camera_id: str
    revision: int
    settings: RuleSettings
