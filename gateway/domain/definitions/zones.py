"""Rules about who is in a zone."""

from typing import Annotated, ClassVar

import msgspec

from gateway.domain.definitions.base import Seconds, ZoneDefinition

Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class ZonePresence(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="zone_presence"):
    """Anybody is inside a zone for some time: one violation while somebody is there, however many they are."""

    type: ClassVar[str] = "zone_presence"


class ZoneIntrusion(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="zone_intrusion"):
    """An object comes into a zone: one violation for each object."""

    type: ClassVar[str] = "zone_intrusion"

    min_duration_s: Seconds = 0.5


class Dwell(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="dwell"):
    """An object stays in a zone for `min_duration_s` (loitering): one violation for each object."""

    type: ClassVar[str] = "dwell"

    min_duration_s: Seconds = 30.0
    max_gap_s: Seconds = 5.0


class Occupancy(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="occupancy"):
    """More objects than `above`, or fewer than `below`, are in a zone.

    Attributes:
        above: More than this many are too many.
        below: Fewer than this many are too few.
    """

    type: ClassVar[str] = "occupancy"

    above: Count | None = None
    below: Count | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that can't be broken, and a zone that isn't a simple polygon.

        Raises:
            ValueError: Neither limit is given, or nothing lies between them, or the polygon crosses itself.
        """
        super().__post_init__()
        if self.above is None and self.below is None:
            raise ValueError("give above (more than so many are too many) or below (fewer than so many are too few)")
        if self.above is not None and self.below is not None and self.below > self.above + 1:
            raise ValueError(f"no number is neither above {self.above} nor below {self.below}")


class ConfinedZone(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="confined_zone"):
    """An object that has been inside a zone is outside it, or was lost while it moved out: someone left.

    With the whole picture for a zone those count who went out of the picture.

    Attributes:
        min_inside_s: One who was inside for less than this, in frame time, only passed through.
    """

    type: ClassVar[str] = "confined_zone"

    min_inside_s: Seconds = 2.0
