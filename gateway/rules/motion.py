"""How rules about movement judge a frame."""

import math

import msgspec
import numpy as np

from gateway.domain.definitions import Crossing, LineCrossing, Speed, WrongDirection
from gateway.rules.ground import on_ground
from gateway.rules.kind import Hits, Nothing
from gateway.rules.observation import Observation, anchors, followed

KMH = 3.6

Place = tuple[float, float]
Path = tuple[tuple[float, float, float], ...]
"""Frame time, and x and y in metres, of each place."""


class Sides(msgspec.Struct, frozen=True, omit_defaults=True):
    """On which side of the line each followed object is.

    Attributes:
        places: Where it was when it was last clearly beside the line, in fractions of the picture.
        crossed: Of those whose crossing is still to last: its key, and the frame time when it was seen.
    """

    places: dict[str, Place] = {}
    crossed: dict[str, tuple[str, float]] = {}


def line_crossing(definition: LineCrossing, memory: Sides, observation: Observation) -> tuple[Sides, Hits]:
    """Each followed object that is beside the line now and was on the other side of it before, until it has lasted."""
    places, crossed, hits = dict(memory.places), dict(memory.crossed), Hits()
    points = anchors(observation.detections.xyxy, definition.anchor) / observation.scale
    a, b = (np.asarray(end) for end in definition.line)
    for subject, row in followed(definition, observation):
        place: Place = (float(points[row, 0]), float(points[row, 1]))
        beside = _beside(a, b, place, observation)
        if abs(beside) >= definition.margin * _height(observation, row):
            before = places.get(subject)
            places[subject] = place
            if before is not None and _cross(a, b, before, place, observation):
                crossed.pop(subject, None)
                if definition.direction is not (Crossing.RIGHT_TO_LEFT if beside > 0 else Crossing.LEFT_TO_RIGHT):
                    crossed[subject] = (_key(definition, subject, beside, observation.time_s), observation.time_s)
        if subject in crossed:
            key, since_s = crossed[subject]
            hits[key] = observation.hit(row)
            if observation.time_s - since_s >= definition.min_duration_s:
                del crossed[subject]
    for track in observation.tracks.lost:
        places.pop(str(track.id), None)
        crossed.pop(str(track.id), None)
    return Sides(places, crossed), hits


def _key(definition: LineCrossing, subject: str, beside: float, time_s: float) -> str:
    """A crossing's own key; where it is to last, who goes back and comes again begins anew."""
    key = f"{subject}{'>' if beside > 0 else '<'}"
    return f"{key}{time_s:.3f}" if definition.min_duration_s else key


def wrong_direction(definition: WrongDirection, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """Each followed object that moves otherwise than it may."""
    hits = Hits()
    for subject, row in followed(definition, observation):
        vx, vy = observation.tracks.velocity[row].tolist()
        if math.hypot(vx, vy) < definition.min_speed * _height(observation, row):
            continue
        off = (math.degrees(math.atan2(vy, vx)) - definition.allowed_degrees + 180) % 360 - 180
        if abs(off) > definition.tolerance_degrees:
            hits[subject] = observation.hit(row)
    return memory, hits


class Paths(msgspec.Struct, frozen=True):
    """Where each followed object was on the ground in the last moments."""

    points: dict[str, Path] = {}


def speed(definition: Speed, memory: Paths, observation: Observation) -> tuple[Paths, Hits]:
    """Each followed object that is too fast over the last `window_s`, or since the frame before."""
    feet = anchors(observation.detections.xyxy, definition.anchor) / observation.scale
    places = on_ground(feet, definition.ground)
    paths, hits = dict(memory.points), Hits()
    for subject, row in followed(definition, observation):
        now = (observation.time_s, float(places[row, 0]), float(places[row, 1]))
        path = _since(now[0] - definition.window_s, paths.get(subject, ()))
        paths[subject] = (*path, now)
        elapsed_s = now[0] - path[0][0] if path else 0.0
        if elapsed_s < definition.window_s / 2:
            continue
        metres = math.dist(path[0][1:], now[1:])
        if metres / elapsed_s * KMH > definition.max_kmh:
            hits[subject] = observation.hit(row)
    for track in observation.tracks.lost:
        paths.pop(str(track.id), None)
    return Paths(paths), hits


def _since(oldest_s: float, path: Path) -> Path:
    """A path from a time on, and the place before that, without which few frames a second would make no path."""
    before = [i for i, point in enumerate(path) if point[0] <= oldest_s]
    return path[before[-1] :] if before else path


def _beside(a: np.ndarray, b: np.ndarray, place: Place, observation: Observation) -> float:
    """Distance from the line through `a` and `b` in pixels; above 0 to the right of who looks from `a` to `b`."""
    along = (b - a) * observation.scale
    to_place = (np.asarray(place) - a) * observation.scale
    return float((along[0] * to_place[1] - along[1] * to_place[0]) / np.hypot(*along))


def _cross(a: np.ndarray, b: np.ndarray, before: Place, place: Place, observation: Observation) -> bool:
    """Whether the way between two places crosses the line between its ends."""
    sides = _beside(a, b, before, observation), _beside(a, b, place, observation)
    if sides[0] * sides[1] >= 0:
        return False
    share = sides[0] / (sides[0] - sides[1])
    at = np.asarray(before) + (np.asarray(place) - np.asarray(before)) * share
    along = (b - a) * observation.scale
    position = float(((at - a) * observation.scale) @ along / (along @ along))
    return 0 <= position <= 1


def _height(observation: Observation, row: int) -> float:
    box = observation.detections.xyxy[row]
    return float(box[3] - box[1])
