"""Which type of rule judges how."""

from collections.abc import Mapping
from typing import Any

from gateway.domain import definitions as d
from gateway.rules import motion, objects, people, picture, zones
from gateway.rules.kind import ANY, EVERY, HALF, Kind, Nothing

KINDS: Mapping[type[d.Definition], Kind[Any, Any]] = {
    d.ZonePresence: Kind(Nothing, zones.presence),
    d.ZoneIntrusion: Kind(Nothing, zones.each_inside, follows=True),
    d.Dwell: Kind(Nothing, zones.each_inside, follows=True),
    d.Occupancy: Kind(Nothing, zones.occupancy, least_share=lambda rule: ANY if rule.below is None else HALF),
    d.ConfinedZone: Kind(zones.Inside, zones.confined, follows=True, least_share=lambda _: HALF),
    d.LineCrossing: Kind(motion.Sides, motion.line_crossing, follows=True),
    d.WrongDirection: Kind(Nothing, motion.wrong_direction, follows=True),
    d.Speed: Kind(motion.Paths, motion.speed, follows=True),
    d.Proximity: Kind(Nothing, objects.proximity, follows=True),
    d.AbandonedObject: Kind(objects.Places, objects.abandoned, follows=True, least_share=lambda _: HALF),
    d.MissingClass: Kind(Nothing, objects.missing_class, follows=True, least_share=lambda _: HALF),
    d.Fall: Kind(people.People, people.fall, follows=True),
    d.LongLie: Kind(people.Lain, people.lying, follows=True),
    d.CameraTampered: Kind(picture.UsualScene, picture.tampered, looks=True),
    d.FrozenPicture: Kind(picture.LastPicture, picture.frozen, looks=True, least_share=lambda _: EVERY),
}
