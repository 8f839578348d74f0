"""Rules about objects and what they have to do with each other."""

from typing import Annotated, ClassVar

import msgspec

from gateway.domain.definitions.base import (
    Anchor,
    Fraction,
    GroundPlane,
    Labels,
    Seconds,
    ZoneDefinition,
    check_ground_plane,
)

Distance = Annotated[float, msgspec.Meta(gt=0, le=1000)]


class Proximity(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="proximity"):
    """Two objects of different classes are too near to each other, as a person and a vehicle.

    Attributes:
        other_labels: Classes of the other object.
        min_distance: Nearer than this is too near: metres where `ground` is given, else heights of the first object's
            box, measured between the middles of the boxes' lower edges.
        ground: Four points of the ground or more, with their places in metres.
    """

    type: ClassVar[str] = "proximity"

    other_labels: Labels
    min_distance: Distance
    ground: GroundPlane | None = None
    min_duration_s: Seconds = 0.5

    def __post_init__(self) -> None:
        """Refuse classes that are their own neighbours, a bad ground plane and a bad zone.

        Raises:
            ValueError: Says which.
        """
        super().__post_init__()
        if both := set(self.labels) & set(self.other_labels):
            raise ValueError(f"labels and other_labels have {', '.join(sorted(both))} in common")
        if self.ground is not None:
            check_ground_plane(self.ground)

    def counted_labels(self) -> tuple[str, ...]:
        """Both kinds."""
        return (*self.labels, *self.other_labels)


class AbandonedObject(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="abandoned_object"):
    """An object lies in a zone for `min_duration_s` with nobody near it.

    Attributes:
        owner_labels: Who looks after it by being near.
        owner_distance: Nearer than this is near, in heights of the owner's box.
        max_movement: It lies still while its middle stays within this, in its own box's diagonals.
    """

    type: ClassVar[str] = "abandoned_object"

    labels: Labels = ("backpack", "handbag", "suitcase")
    owner_labels: Labels = ("person",)
    owner_distance: Distance = 1.5
    max_movement: Fraction = 0.25
    min_duration_s: Seconds = 30.0
    max_gap_s: Seconds = 5.0
    anchor: Anchor = Anchor.CENTER

    def counted_labels(self) -> tuple[str, ...]:
        """The objects and their owners."""
        return (*self.labels, *self.owner_labels)


class MissingClass(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="missing_class"):
    """A person in a zone lacks something, as a helmet: no box of that class lies on the person's.

    Attributes:
        required: Each of these classes must be seen on the person.
        required_score: From this score on it is seen.
        min_height: People whose box is lower than this fraction of the picture's height are too small to tell.
    """

    type: ClassVar[str] = "missing_class"

    required: Labels
    required_score: Fraction = 0.3
    min_height: Fraction = 0.1
    min_duration_s: Seconds = 2.0

    def counted_labels(self) -> tuple[str, ...]:
        """Who must have it, and what."""
        return (*self.labels, *self.required)
