"""Rules about people who fall and lie."""

from typing import Annotated, ClassVar

import msgspec

from gateway.domain.definitions.base import Anchor, Labels, Polygon, Seconds, ZoneDefinition

STANDING = ("person",)
LYING = ("person_lying",)


class PostureDefinition(ZoneDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tells lying from standing.

    Attributes:
        labels: Classes of people, in whatever posture.
        lying_labels: Those of them that say by themselves that the person lies, as a model made with `--view rot90`
            has; the model need not know them. For other people keypoints tell, else the shape of the box: weaker, as
            a person who lies towards the camera has an upright box.
        beds: Zones in which lying is no matter, as polygons in fractions of the picture.
        min_aspect: Without such a class and without keypoints, a box at least this many times as wide as high lies.
    """

    labels: Labels = (*STANDING, *LYING)
    lying_labels: tuple[str, ...] = LYING
    beds: tuple[Polygon, ...] = ()
    min_aspect: Annotated[float, msgspec.Meta(ge=1, le=10)] = 1.3
    anchor: Anchor = Anchor.CENTER

    def counted_labels(self) -> tuple[str, ...]:
        """Classes that the model must know: those that only tell the posture may be lacking."""
        return tuple(label for label in self.labels if label not in self.lying_labels)


class Fall(PostureDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fall"):
    """A person who was up is down: lies, sinks faster than one sits down, or is lost low in the picture.

    Attributes:
        within_s: From up to lying takes at most this long, in frame time.
        min_drop_speed: The head's end of the box sinks at least this fast, in heights of the box per second, to be a
            fall by itself; 0: sinking alone is none.
        lost_low: A person who was up, sank, and is seen no more inside the picture has fallen out of the model's sight.
    """

    type: ClassVar[str] = "fall"

    within_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 3.0
    min_drop_speed: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    lost_low: bool = False
    min_duration_s: Seconds = 0.3
    max_gap_s: Seconds = 3.0


class LongLie(PostureDefinition, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="long_lie"):
    """A person lies for `min_duration_s`, however it came about."""

    type: ClassVar[str] = "long_lie"

    min_duration_s: Seconds = 15.0
    max_gap_s: Seconds = 5.0
