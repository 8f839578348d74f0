"""How rules about who is in a zone judge a frame."""

import math

import msgspec
import numpy as np
import shapely

from gateway.domain.definitions import Anchor, ConfinedZone, Dwell, Occupancy, ZoneIntrusion, ZonePresence
from gateway.rules.episode import Hit
from gateway.rules.kind import SCENE, Hits, Nothing
from gateway.rules.observation import Observation, anchors, counted, followed, inside, polygon
from gateway.rules.posture import EDGE
from gateway.rules.tracker import STILL_SPEED, Track

WHOLE_SURE = 1.0
"""The score of what no detection tells: that somebody is missing."""

ONE_STEP = 0.25
"""So far, in heights of its box, an object that moves may get by the next frame."""

LOOKED_S = 1.0
"""Frames must have come for so long without one who is said to have left."""


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
    """Who has been inside.

    Attributes:
        times: Frame time since which each followed object has been seen inside, and when last.
        left: Those that were lost on their way out: when that was noticed, and as they were seen last.
    """

    times: dict[str, tuple[float, float]] = {}
    left: dict[str, tuple[float, Hit]] = {}


def confined(definition: ConfinedZone, memory: Inside, observation: Observation) -> tuple[Inside, Hits]:
    """Each followed object that was inside long enough and is outside, or was lost on its way out."""
    within = inside(definition.zone, definition.anchor, observation)
    everywhere = msgspec.structs.replace(definition, zone=ConfinedZone().zone)
    times, left, hits = dict(memory.times), dict(memory.left), Hits()
    for subject, row in followed(everywhere, observation):
        since_s, last_s = times.get(subject, (observation.time_s, observation.time_s))
        if within[row]:
            times[subject] = (since_s, observation.time_s)
        elif subject in times and last_s - since_s >= definition.min_inside_s:
            hits[subject] = observation.hit(row)
        else:
            times.pop(subject, None)
    for track in observation.tracks.lost:
        since_s, last_s = times.pop(str(track.id), (math.inf, 0.0))
        seen_inside = last_s == track.last_s and last_s - since_s >= definition.min_inside_s
        if seen_inside and _on_its_way_out(definition, track, observation):
            left[str(track.id)] = (observation.time_s, Hit(track.label, WHOLE_SURE, track.box, track.id))
    for subject, (noticed_s, hit) in tuple(left.items()):
        hits[subject] = hit
        if not 0 <= observation.time_s - noticed_s < definition.min_duration_s:
            del left[subject]  # it is told by now; that they are away is seen no longer
    after = Inside(times, left)
    return (after if after != memory else memory), hits


def _on_its_way_out(definition: ConfinedZone, track: Track, observation: Observation) -> bool:
    """Whether a track that nobody finds any more, though they looked, moved out of the picture or over the border."""
    looked_s = observation.time_s - track.last_s - track.blind_s
    tall = max(1.0, track.box[3] - track.box[1])
    if looked_s < LOOKED_S or math.hypot(*track.velocity) < STILL_SPEED * tall:
        return False
    return _leaves_picture(track, STILL_SPEED * tall, observation) or _leaves_zone(definition, track, tall, observation)


def _leaves_picture(track: Track, least_speed: float, observation: Observation) -> bool:
    """Whether a track is at an edge of the picture and moves towards it, at so many pixels per second or more."""
    (vx, vy), (x1, y1, x2, y2) = track.velocity, track.box
    width, height = observation.resolution_wh
    left, right = x1 < EDGE * width and vx <= -least_speed, x2 > (1 - EDGE) * width and vx >= least_speed
    top, bottom = y1 < EDGE * height and vy <= -least_speed, y2 > (1 - EDGE) * height and vy >= least_speed
    return left or right or top or bottom


def _leaves_zone(definition: ConfinedZone, track: Track, tall: float, observation: Observation) -> bool:
    """Whether the step that a track was about to take leads out of the zone."""
    step = np.array(track.velocity) / math.hypot(*track.velocity) * ONE_STEP * tall
    ahead = np.array(track.box) + np.tile(step, 2)
    zone = polygon(definition.zone)
    if definition.anchor is Anchor.ANY_OVERLAP:
        return not shapely.intersects(zone, shapely.box(*(ahead / np.tile(observation.scale, 2))))
    (point,) = anchors(ahead[np.newaxis].astype(np.float32), definition.anchor) / observation.scale
    return not shapely.intersects_xy(zone, *point)


def _best(observation: Observation, rows: list[int]) -> Hit:
    return observation.hit(max(rows, key=observation.detections.score.__getitem__))


def _bounds(definition: Occupancy, observation: Observation) -> tuple[float, float, float, float]:
    width, height = observation.resolution_wh
    xs, ys = [x * width for x, _ in definition.zone], [y * height for _, y in definition.zone]
    return min(xs), min(ys), max(xs), max(ys)
