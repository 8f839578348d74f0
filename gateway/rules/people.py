"""How rules about people who fall and lie judge a frame."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from gateway.domain.definitions import Anchor, Fall, LongLie, PostureDefinition
from gateway.rules.episode import Hit
from gateway.rules.kind import Hits
from gateway.rules.observation import Observation, followed, inside
from gateway.rules.posture import EDGE, Posture, posture

STANDING = "person"
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

NEW_S = 1.0
"""Who lies and has been followed for less than this may be somebody who was followed before."""

Box = tuple[float, float, float, float]


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
        first_s: Frame time when they were seen first.
        subject: The key of their episode; empty where it is their track.
    """

    up_s: float
    down: bool
    since_s: float
    tall: tuple[float, float, float]
    seen_s: float
    box: Box
    score: float
    fallen: bool = False
    first_s: float = NEVER
    subject: str = ""


class People(msgspec.Struct, frozen=True):
    """Everybody who is followed, by track."""

    known: dict[str, Person] = {}


class Lying(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one who lies.

    Attributes:
        seen_s: Frame time when they were seen lying last.
        box: Where.
        subject: The key of their episode.
        up: Whether they have been seen up since then, for `UP_AGAIN_S`: nobody else goes on with their episode.
    """

    seen_s: float
    box: Box
    subject: str
    up: bool = False


class Lain(msgspec.Struct, frozen=True):
    """Everybody who lies, by track."""

    known: dict[str, Lying] = {}


Remembered = TypeVar("Remembered", Person, Lying)


def lying(definition: LongLie, memory: Lain, observation: Observation) -> tuple[Lain, Hits]:
    """Each followed person who lies, where lying matters."""
    time_s, known, hits = observation.time_s, _set_back(memory.known, observation.time_s), Hits()
    may_be_away_s = max(definition.max_gap_s, observation.least_gap_s)
    people = [(*each, posture(definition, observation, each[1])) for each in _people(definition, observation)]
    down = {track for track, _, how in people if how is not Posture.UP}
    for track, _, how in people:
        if how is Posture.UP and track in known:
            known[track] = _up_again(known[track], observation)
    for track, row, how in people:
        before = known.get(track)
        if how is Posture.UP or (how is Posture.CUT_OFF and before is None):
            continue
        if before is None:
            missed = {earlier: person for earlier, person in known.items() if not person.up and earlier not in down}
            earlier = _whom_it_may_be(missed, observation, row, lambda _: may_be_away_s)
            before = None if earlier is None else known.pop(earlier)
        known[track] = Lying(time_s, _box(observation, row), track if before is None else before.subject)
        hits[known[track].subject] = observation.hit(row)
    known = {track: person for track, person in known.items() if time_s - person.seen_s <= may_be_away_s}
    return (Lain(known) if known != memory.known else memory), hits


def _up_again(person: Lying, observation: Observation) -> Lying:
    """One who is up in this frame."""
    after_s = max(UP_AGAIN_S, observation.least_gap_s)
    return replace(person, up=True) if observation.time_s - person.seen_s > after_s else person


def fall(definition: Fall, memory: People, observation: Observation) -> tuple[People, Hits]:
    """Each followed person who was up a moment ago and is down, until they are up again."""
    time_s = observation.time_s
    known, hits = _set_back(memory.known, time_s), Hits()
    for track, row in _people(definition, observation):
        before, how = known.get(track), posture(definition, observation, row)
        if how is Posture.LYING and (before is None or _is_new(before, observation)):
            missed_s = 0.0 if before is None else max(LOST_AFTER_S, observation.least_gap_s)
            before = _taken_over(known, definition, observation, row, missed_s=missed_s) or before
        elif before is None:
            before = _taken_over(known, definition, observation, row, down=False)
        person = known[track] = _seen(definition, before, observation, row, how)
        if person.fallen and person.down and time_s - person.since_s >= DOWN_FOR_S:
            hits[person.subject or track] = observation.hit(row)
    for track, person in list(known.items()):
        away_s = time_s - person.seen_s
        if away_s > max(LOST_UNTIL_S, _may_be_away_s(definition, person, observation)):
            del known[track]
        elif definition.lost_low and LOST_AFTER_S <= away_s <= LOST_UNTIL_S and _sank_out_of_sight(person, observation):
            hits[person.subject or track] = Hit(STANDING, person.score, person.box, int(track))
    return People(known), hits


def _people(definition: PostureDefinition, observation: Observation) -> list[tuple[str, int]]:
    """Followed people who count, but for those in a bed."""
    people = list(followed(definition, observation))
    for bed in definition.beds if people else ():
        in_bed = inside(bed, Anchor.CENTER, observation)
        people = [(subject, row) for subject, row in people if not in_bed[row]]
    return people


def _seen(definition: Fall, before: Person | None, observation: Observation, row: int, how: Posture) -> Person:
    """What is known of a person after this frame."""
    time_s, box, score = observation.time_s, _box(observation, row), float(observation.detections.score[row])
    if before is None:
        before = Person(NEVER, False, time_s, (box[1], box[3] - box[1], time_s), time_s, box, score, first_s=time_s)
    now = replace(before, seen_s=time_s, box=box, score=score)
    if how is Posture.CUT_OFF:
        return now if now.down else replace(now, since_s=time_s)
    down = how is Posture.LYING or _dropped(definition, before, box[1], time_s)
    since_s = before.since_s if down is before.down else time_s
    if down:
        fell = before.fallen or time_s - before.up_s <= _within_s(definition, observation)
        return replace(now, down=True, since_s=since_s, fallen=fell)
    tall = _standing(before, box, time_s, definition.within_s)
    up_s = before.up_s if time_s - since_s < UP_FOR_S else time_s
    fallen = before.fallen and time_s - since_s < UP_AGAIN_S
    return replace(now, up_s=up_s, down=False, since_s=since_s, tall=tall, fallen=fallen)


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


def _set_back(known: Mapping[str, Remembered], time_s: float) -> dict[str, Remembered]:
    """A copy; where the clock was set back to `time_s`, as if it had shown that when the last of them was seen."""
    ahead_s = max((person.seen_s for person in known.values()), default=time_s) - time_s
    if ahead_s <= 0:
        return dict(known)
    return {track: _earlier(person, ahead_s) for track, person in known.items()}


def _earlier(person: Remembered, by_s: float) -> Remembered:
    seen_s = person.seen_s - by_s
    if isinstance(person, Lying):
        return replace(person, seen_s=seen_s)
    up_s, first_s = (at_s if at_s == NEVER else at_s - by_s for at_s in (person.up_s, person.first_s))
    tall = (*person.tall[:2], person.tall[2] - by_s)
    return replace(person, seen_s=seen_s, up_s=up_s, first_s=first_s, since_s=person.since_s - by_s, tall=tall)


def _is_new(person: Person, observation: Observation) -> bool:
    """Whether a person was never up and hasn't been followed for long."""
    new_s = max(NEW_S, 2 * observation.least_gap_s)
    return person.up_s == NEVER and observation.time_s - person.first_s <= new_s


def _taken_over(
    known: dict[str, Person],
    definition: Fall,
    observation: Observation,
    row: int,
    *,
    down: bool = True,
    missed_s: float = 0.0,
) -> Person | None:
    """Somebody who was followed until a moment ago under another track; one who was down then only if `down`.

    Who is in this frame, or was less than `missed_s` ago, is somebody else, unless they have fallen and are up: the
    tracker took another for them.
    """
    here = {str(track) for track in observation.tracks.ids.tolist()}
    gone = {track for track, person in known.items() if observation.time_s - person.seen_s >= missed_s} - here
    missed = {
        track: person
        for track, person in known.items()
        if (person.fallen and not person.down and down) or (track in gone and (down or not person.down))
    }
    track = _whom_it_may_be(missed, observation, row, lambda person: _may_be_away_s(definition, person, observation))
    if track is None:
        return None
    person = known.pop(track)
    has_episode = person.fallen or definition.lost_low
    return replace(person, subject=person.subject or track) if has_episode else person


def _within_s(definition: Fall, observation: Observation) -> float:
    """How long a fall may take from up to down: no less than what lies between two frames where few are due."""
    return max(definition.within_s, observation.least_gap_s)


def _may_be_away_s(definition: Fall, person: Person, observation: Observation) -> float:
    within_s = _within_s(definition, observation)
    return max(within_s, definition.max_gap_s) if person.fallen else within_s


def _whom_it_may_be(
    missed: Mapping[str, Remembered], observation: Observation, row: int, may_be_away_s: Callable[[Remembered], float]
) -> str | None:
    """The track of the one of these who was near here: a fall can cost the tracker its track."""
    x1, y1, x2, y2 = _box(observation, row)
    for track, person in missed.items():
        if not 0 <= observation.time_s - person.seen_s <= may_be_away_s(person):
            continue
        a, b, c, d = person.box
        reach = (d - b) / 2
        if x1 < c + reach and x2 > a - reach and y1 < d + reach and y2 > b - reach:
            return track
    return None


def _box(observation: Observation, row: int) -> Box:
    x1, y1, x2, y2 = observation.detections.xyxy[row].tolist()
    return x1, y1, x2, y2


def _sank_out_of_sight(person: Person, observation: Observation) -> bool:
    """Whether the person was sinking when seen last, away from the picture's edges."""
    width, height = observation.resolution_wh
    x1, y1, x2, y2 = person.box
    edge_x, edge_y = EDGE * width, EDGE * height
    within = x1 > edge_x and x2 < width - edge_x and y2 < height - edge_y
    return within and _sunk(person, y1) >= SUNK
