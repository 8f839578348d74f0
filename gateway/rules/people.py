"""How rules about people who fall and lie judge a frame."""

from enum import StrEnum

import msgspec
import numpy as np

from gateway.domain.definitions import Anchor, Fall, LongLie, PostureDefinition
from gateway.domain.detections import Detections
from gateway.rules.episode import Hit
from gateway.rules.kind import Hits, Nothing
from gateway.rules.observation import Observation, followed, inside

STANDING = "person"
KEYPOINT_SCORE = 0.3
SHOULDERS, HIPS = (5, 6), (11, 12)
"""Rows of the COCO keypoint order."""

LYING_DEGREES = 50.0
"""A torso farther from upright than this lies."""

NEVER = -1e18
UP_FOR_S = DOWN_FOR_S = 0.3
"""A posture counts once it has lasted this long: a frame that errs makes nobody fall, nor stand up to fall anew."""

UP_AGAIN_S = 1.0
"""Who is up for this long isn't down any more."""

LOST_AFTER_S = 0.5
LOST_UNTIL_S = 3.0
SUNK = 0.3
"""Who sank by this much of their height is no longer up."""

NOT_SUNK = 0.1
"""And who sank by less has only moved."""

EDGE = 0.02
"""A box this near to the picture's edge, in fractions, may have left the picture."""


Box = tuple[float, float, float, float]


class Posture(StrEnum):
    """What a person's body does, as far as one frame tells."""

    UP = "up"
    LYING = "lying"


class Person(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one followed person.

    Attributes:
        up_s: Frame time when they were up last, and had been for `UP_FOR_S`; `NEVER` where they weren't.
        down: Whether they were down when seen last.
        since_s: Frame time since which they are as they are, up or down.
        tall: How they stand: the box's upper edge and its height in source pixels, and the frame time when the edge was
            there last. It follows slowly where they only walk away.
        seen_s: Frame time when they were seen last.
        box: Where.
        score: How surely.
        fallen: Whether they have fallen and haven't been up since for long.
    """

    up_s: float
    down: bool
    since_s: float
    tall: tuple[float, float, float]
    seen_s: float
    box: Box
    score: float
    fallen: bool = False


class People(msgspec.Struct, frozen=True):
    """Everybody who is followed, by track."""

    known: dict[str, Person] = {}


def lying(definition: LongLie, memory: Nothing, observation: Observation) -> tuple[Nothing, Hits]:
    """Each followed person who lies, where lying matters."""
    hits = Hits()
    for subject, row in _people(definition, observation):
        if posture(definition, observation.detections, row) is Posture.LYING:
            hits[subject] = observation.hit(row)
    return memory, hits


def fall(definition: Fall, memory: People, observation: Observation) -> tuple[People, Hits]:
    """Each followed person who was up a moment ago and is down, until they are up again."""
    time_s = observation.time_s
    known, hits = dict(memory.known), Hits()
    for subject, row in _people(definition, observation):
        before = known.get(subject) or _whom_it_may_be(known, definition, observation, row)
        person = _seen(definition, before, observation, row)
        known[subject] = person
        if person.fallen and person.down and time_s - person.since_s >= DOWN_FOR_S:
            hits[subject] = observation.hit(row)
    for subject, person in list(known.items()):
        away_s = time_s - person.seen_s
        if away_s > max(LOST_UNTIL_S, definition.within_s):
            del known[subject]
        elif definition.lost_low and LOST_AFTER_S <= away_s <= LOST_UNTIL_S and _sank_out_of_sight(person, observation):
            hits[subject] = Hit(STANDING, person.score, person.box, int(subject))
    return People(known), hits


def posture(definition: PostureDefinition, detections: Detections, row: int) -> Posture:
    """Whether a person lies: by their class where the model tells, else by their keypoints, else by their box."""
    if any(label in detections.labels for label in definition.lying_labels):
        return Posture.LYING if detections.label(row) in definition.lying_labels else Posture.UP
    lean = _torso_degrees(detections.keypoints[row])
    if lean is not None:
        return Posture.LYING if lean > LYING_DEGREES else Posture.UP
    width, height = detections.xyxy[row, 2:] - detections.xyxy[row, :2]
    return Posture.LYING if width >= definition.min_aspect * height else Posture.UP


def _people(definition: PostureDefinition, observation: Observation) -> list[tuple[str, int]]:
    """Followed people who count, but for those in a bed."""
    people = list(followed(definition, observation))
    for bed in definition.beds if people else ():
        in_bed = inside(bed, Anchor.CENTER, observation)
        people = [(subject, row) for subject, row in people if not in_bed[row]]
    return people


def _seen(definition: Fall, before: Person | None, observation: Observation, row: int) -> Person:
    """What is known of a person after this frame."""
    time_s, detections = observation.time_s, observation.detections
    x1, y1, x2, y2 = (float(v) for v in detections.xyxy[row])
    box, score = (x1, y1, x2, y2), float(detections.score[row])
    if before is None:
        before = Person(NEVER, False, time_s, (y1, y2 - y1, time_s), time_s, box, score)
    down = posture(definition, detections, row) is Posture.LYING or _dropped(definition, before, y1, time_s)
    since_s = before.since_s if down is before.down else time_s
    if down:
        fell = before.fallen or time_s - before.up_s <= definition.within_s
        return Person(before.up_s, True, since_s, before.tall, time_s, box, score, fell)
    tall = _standing(before, box, time_s, definition.within_s)
    up_s = before.up_s if time_s - since_s < UP_FOR_S else time_s
    return Person(up_s, False, since_s, tall, time_s, box, score, before.fallen and time_s - since_s < UP_AGAIN_S)


def _standing(before: Person, box: Box, time_s: float, follows_in_s: float) -> tuple[float, float, float]:
    """Where the upper edge of one who stands is: it rises at once and sinks slowly."""
    top, height, at_s = before.tall
    if _sunk(before, box[1]) < NOT_SUNK:
        return box[1], max(box[3] - box[1], height * (1 - NOT_SUNK)), time_s
    share = min(1.0, (time_s - before.seen_s) / follows_in_s)
    return top + (box[1] - top) * share, height + (box[3] - box[1] - height) * share, at_s


def _sunk(person: Person, top: float) -> float:
    """How far an upper edge is below where it is when the person stands, in heights of the person."""
    return (top - person.tall[0]) / max(1.0, person.tall[1])


def _dropped(definition: Fall, before: Person, top: float, time_s: float) -> bool:
    """Whether the head's end sank as far and as fast as only a fall makes it."""
    if not definition.min_drop_speed:
        return False
    sunk, elapsed_s = _sunk(before, top), time_s - before.tall[2]
    return 0 < elapsed_s <= definition.within_s and sunk >= SUNK and sunk / elapsed_s >= definition.min_drop_speed


def _whom_it_may_be(known: dict[str, Person], definition: Fall, observation: Observation, row: int) -> Person | None:
    """Somebody who was up near here and is seen no more: a fall can cost the tracker its track."""
    x1, y1, x2, y2 = observation.detections.xyxy[row].tolist()
    for subject, person in known.items():
        away_s = observation.time_s - person.seen_s
        if not 0 < away_s <= definition.within_s:
            continue
        a, b, c, d = person.box
        reach = (d - b) / 2
        if x1 < c + reach and x2 > a - reach and y1 < d + reach and y2 > b - reach:
            del known[subject]
            return person
    return None


def _sank_out_of_sight(person: Person, observation: Observation) -> bool:
    """Whether the person was sinking when seen last, away from the picture's edges."""
    width, height = observation.resolution_wh
    x1, y1, x2, y2 = person.box
    edge_x, edge_y = EDGE * width, EDGE * height
    within = x1 > edge_x and x2 < width - edge_x and y2 < height - edge_y
    return within and _sunk(person, y1) >= SUNK


def _torso_degrees(keypoints: np.ndarray) -> float | None:
    """How far the torso is from upright, in degrees 0..180; None where too little of it is seen."""
    if len(keypoints) <= max(HIPS):
        return None
    ends = [keypoints[list(pair)] for pair in (SHOULDERS, HIPS)]
    if any((end[:, 2] < KEYPOINT_SCORE).all() for end in ends):
        return None
    shoulders, hips = (np.average(end[:, :2], axis=0, weights=end[:, 2]) for end in ends)
    across, down = hips - shoulders
    return float(np.degrees(np.arctan2(abs(across), down)))
