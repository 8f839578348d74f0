"""The types of rules: what each is told. How each judges stands in `gateway/rules/`, under the same names."""

from gateway.domain.definitions.base import (
    WHOLE_PICTURE,
    Anchor,
    Day,
    Definition,
    Fraction,
    GroundPoint,
    ObjectDefinition,
    Point,
    Polygon,
    Schedule,
    ZoneDefinition,
)
from gateway.domain.definitions.motion import Crossing, LineCrossing, Speed, WrongDirection
from gateway.domain.definitions.objects import AbandonedObject, MissingClass, Proximity
from gateway.domain.definitions.people import Fall, LongLie, PostureDefinition
from gateway.domain.definitions.picture import CameraTampered, FrozenPicture
from gateway.domain.definitions.zones import ConfinedZone, Dwell, Occupancy, ZoneIntrusion, ZonePresence

RuleDefinition = (
    ZonePresence
    | ZoneIntrusion
    | Dwell
    | Occupancy
    | ConfinedZone
    | LineCrossing
    | WrongDirection
    | Speed
    | Proximity
    | AbandonedObject
    | MissingClass
    | Fall
    | LongLie
    | CameraTampered
    | FrozenPicture
)

__all__ = [
    "WHOLE_PICTURE",
    "AbandonedObject",
    "Anchor",
    "CameraTampered",
    "ConfinedZone",
    "Crossing",
    "Day",
    "Definition",
    "Dwell",
    "Fall",
    "Fraction",
    "FrozenPicture",
    "GroundPoint",
    "LineCrossing",
    "LongLie",
    "MissingClass",
    "ObjectDefinition",
    "Occupancy",
    "Point",
    "Polygon",
    "PostureDefinition",
    "Proximity",
    "RuleDefinition",
    "Schedule",
    "Speed",
    "WrongDirection",
    "ZoneDefinition",
    "ZoneIntrusion",
    "ZonePresence",
]
