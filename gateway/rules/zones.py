"""How rules about who is in a zone judge a frame."""

import msgspec

from gateway.domain.definitions import ConfinedZone, Dwell, Occupancy, ZoneIntrusion, ZonePresence
from gateway.rules.episode import Hit
from gateway.rules.kind import SCENE, Hits, Nothing
from gateway.rules.observation import Observation, counted, followed, inside

WHOLE_SURE = 1.0
"""The score of what no detection tells: that somebody is missing."""


def presence(definition: ZonePresence, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """The best-scored object in the zone."""
    rows = counted(definition, observation)
    return memory, {SCENE: _best(observation, rows)} if rows else {}


def each_inside(definition: ZoneIntrusion | Dwell, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """Each followed object in the zone."""
    return memory, {subject: observation.hit(row) for subject, row in followed(definition, observation)}


def occupancy(definition: Occupancy, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """The zone when too many or too few are in it; too many are as sure as the one who makes them so."""
    rows = counted(definition, observation)
    if definition.above is not None and len(rows) > definition.above:
        surest = sorted(rows, key=observation.detections.score.__getitem__, reverse=True)
        return memory, {SCENE: observation.hit(surest[definition.above])}
    if definition.below is not None and len(rows) < definition.below:
        return memory, {SCENE: Hit(definition.labels[0], WHOLE_SURE, _bounds(definition, observation))}
    return memory, {}


class Inside(msgspec.Struct, frozen=True):
    """Frame time since which each followed object has been seen inside, and when last."""

    times: dict[str, tuple[float, float]] = {}


def confined(definition: ConfinedZone, memory: Inside, observation: Observation) -> tuple[Inside, Hits]:
    """Each followed object that was inside long enough and is outside."""
    within = inside(definition.zone, definition.anchor, observation)
    everywhere = msgspec.structs.replace(definition, zone=ConfinedZone().zone)
    times, hits = dict(memory.times), Hits()
    for subject, row in followed(everywhere, observation):
        since_s, last_s = times.get(subject, (observation.time_s, observation.time_s))
        if within[row]:
            times[subject] = (since_s, observation.time_s)
        elif subject in times and last_s - since_s >= definition.min_inside_s:
            hits[subject] = observation.hit(row)
        else:
            times.pop(subject, None)
    for track in observation.tracks.lost:
        times.pop(str(track.id), None)
    return (Inside(times) if times != memory.times else memory), hits


def _best(observation: Observation, rows: list[int]) -> Hit:
    return observation.hit(max(rows, key=observation.detections.score.__getitem__))


def _bounds(definition: Occupancy, observation: Observation) -> tuple[float, float, float, float]:
    width, height = observation.resolution_wh
    xs, ys = [x * width for x, _ in definition.zone], [y * height for _, y in definition.zone]
    return min(xs), min(ys), max(xs), max(ys)
