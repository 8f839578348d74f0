"""How rules about objects and their neighbours judge a frame."""

import msgspec
import numpy as np
import numpy.typing as npt

from gateway.domain.definitions import AbandonedObject, Anchor, MissingClass, Proximity
from gateway.rules.ground import on_ground
from gateway.rules.kind import Hits, Nothing
from gateway.rules.observation import Observation, anchors, followed
from gateway.rules.tracker import NO_TRACK

SETTLED_S = 1.0
"""What has been in one place for less than this may be on its way."""

Float64Array = npt.NDArray[np.float64]


def proximity(definition: Proximity, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """Each pair of followed objects that are too near to each other."""
    others = np.flatnonzero(observation.of_class(definition.other_labels, definition.min_score))
    hits = Hits()
    for subject, row in followed(definition, observation):
        for other, distance in zip(others.tolist(), _distances(definition, observation, row, others), strict=True):
            if distance < definition.min_distance and observation.tracks.ids[other] != NO_TRACK:
                hits[f"{subject}+{observation.tracks.ids[other]}"] = observation.hit(row)
    return memory, hits


class Places(msgspec.Struct, frozen=True):
    """Where each followed object came to rest: the middle of its box in source pixels, and the frame time since."""

    middles: dict[str, tuple[float, float, float]] = {}


def abandoned(definition: AbandonedObject, memory: Places, observation: Observation) -> tuple[Places, Hits]:
    """Each followed object that lies where it lay, with no owner near."""
    xyxy = observation.detections.xyxy.astype(np.float64)
    owners = xyxy[observation.of_class(definition.owner_labels, definition.min_score)]
    places, hits = dict(memory.middles), Hits()
    for subject, row in followed(definition, observation):
        box = xyxy[row]
        middle = (box[:2] + box[2:]) / 2
        diagonal = float(np.hypot(*(box[2:] - box[:2])))
        rest = places.get(subject)
        if rest is None or np.hypot(*(middle - rest[:2])) > definition.max_movement * diagonal:
            places[subject] = (float(middle[0]), float(middle[1]), observation.time_s)
        elif observation.time_s - rest[2] >= SETTLED_S and not _owner_near(definition, middle, owners):
            hits[subject] = observation.hit(row)
    for track in observation.tracks.lost:
        places.pop(str(track.id), None)
    return (Places(places) if places != memory.middles else memory), hits


def missing_class(definition: MissingClass, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """Each followed person large enough to tell, on whom a required class isn't seen."""
    xyxy = observation.detections.xyxy
    middles = anchors(xyxy, Anchor.CENTER)
    worn = {label: middles[observation.of_class((label,), definition.required_score)] for label in definition.required}
    hits = Hits()
    for subject, row in followed(definition, observation):
        if xyxy[row, 3] - xyxy[row, 1] < definition.min_height * observation.resolution_wh[1]:
            continue
        lacking = [label for label, points in worn.items() if not _any_within(points, xyxy[row])]
        if lacking:
            label = observation.detections.label(row)
            hits[subject] = observation.hit(row, f"{label} without {' and '.join(lacking)}")
    return memory, hits


def _distances(definition: Proximity, observation: Observation, row: int, others: npt.NDArray[np.intp]) -> list[float]:
    feet = anchors(observation.detections.xyxy, Anchor.FEET).astype(np.float64)
    if definition.ground is not None:
        places = on_ground(feet / observation.scale, definition.ground)
        unit = 1.0
    else:
        places = feet
        box = observation.detections.xyxy[row]
        unit = max(1.0, float(box[3] - box[1]))
    distances: list[float] = (np.hypot(*(places[others] - places[row]).T) / unit).tolist()
    return distances


def _owner_near(definition: AbandonedObject, middle: Float64Array, owners: Float64Array) -> bool:
    """Whether an owner's box comes within its height times `owner_distance` of the object's middle."""
    gap = np.maximum(np.maximum(owners[:, :2] - middle, middle - owners[:, 2:]), 0)
    reach = (owners[:, 3] - owners[:, 1]) * definition.owner_distance
    return bool((np.hypot(gap[:, 0], gap[:, 1]) <= reach).any())


def _any_within(points: npt.NDArray[np.float32], box: npt.NDArray[np.float32]) -> bool:
    return bool(((points >= box[:2]) & (points <= box[2:])).all(axis=1).any())
