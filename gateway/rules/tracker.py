"""Which object of this frame is which of the frames before: stable numbers, over gaps too.

Two association stages by score as in ByteTrack (Zhang et al., ECCV 2022): sure detections choose first, unsure ones
only continue a track. What is compared are boxes widened all round, as in C-BIoU (Yang et al., WACV 2023), so that an
object that moved by more than its own width since the last frame is still found; the widening grows with the time in
between, because cameras are looked at a few times a second only. Positions are predicted with a smoothed velocity.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import lap
import msgspec
import numpy as np
import numpy.typing as npt

from gateway.domain.detections import Detections

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Box = tuple[float, float, float, float]
Pair = tuple[float, int, int]
"""Likeness, track and detection."""

BEGIN_SCORE = 0.4
"""A detection below this continues a track and begins none."""

SURE_SCORE = 0.5
LOST_S = 3.0
STILL_LOST_S = 10.0
"""Who was standing still is found again for longer; what was away for longer than that, in the same place alone."""

MOST_WAITING = 64
"""No more tracks that were away for longer than that are kept, however long the rules would wait for them."""

STILL_SPEED = 0.15
"""Box heights per second below which an object stands still."""

FARTHEST_AHEAD_S = 30.0
"""A track that was seen later than that after a frame is of another time."""

NO_TRACK = -1
_WIDEN, _WIDEN_PER_S, _WIDEN_MOST = 0.3, 0.5, 1.5
_MIN_LIKENESS = 0.05
_SAME_PLACE = 0.3
_SAME_OBJECT = 0.6
_MAX_AREA_RATIO = 5.0
_MAX_PREDICTION_S = 1.0
_VELOCITY_SMOOTHING = 0.5
_TINY = 1e-9
_LYING = "_lying"


class Track(msgspec.Struct, frozen=True, array_like=True):
    """One followed object, as it was seen last.

    Attributes:
        id: Its number, never given twice.
        label: The class of the object as it was seen last, whatever its posture.
        box: x1, y1, x2, y2 in source pixels.
        velocity: Of the box's middle, pixels per second of frame time.
        first_s: Frame time when it was seen first.
        last_s: And last.
        blind_s: Seconds since then in which nobody looked.
    """

    id: int
    label: str
    box: Box
    velocity: tuple[float, float]
    first_s: float
    last_s: float
    blind_s: float = 0.0


class TrackerState(msgspec.Struct, frozen=True):
    """All that is remembered between two frames."""

    next_id: int = 1
    tracks: tuple[Track, ...] = ()


@dataclass(frozen=True, slots=True)
class Leeway:
    """What may be the same object: after how long, and under which other class.

    Attributes:
        gap_s: The longest gap in which it is still the same for a rule: so long for what stood still, and for the rest
            as far as nobody looked.
        least_s: No track is given up sooner, as frames are due no more often.
        confused: Classes that are one to some rule, as a car and a truck are: a model that can't decide between two of
            them makes no second object. From `as_one`.
    """

    gap_s: float = 0.0
    least_s: float = 0.0
    confused: tuple[frozenset[str], ...] = ()

    def lasts_s(self, track: Track) -> float:
        """Seconds after which a track is given up."""
        height = max(1.0, track.box[3] - track.box[1])
        still = math.hypot(*track.velocity) < STILL_SPEED * height and track.last_s - track.first_s >= LOST_S
        if still:
            return max(self.least_s, STILL_LOST_S, self.gap_s)
        return max(self.least_s, min(LOST_S + track.blind_s, max(LOST_S, self.gap_s)))

    @property
    def near_s(self) -> float:
        """Seconds after which a track is found again in the same place alone."""
        return max(self.least_s, STILL_LOST_S)

    def confuses(self, label: str, other: str) -> bool:
        """Whether two classes may be taken for each other."""
        return any(label in classes and other in classes for classes in self.confused)


USUAL = Leeway()


def as_one(labels: Iterable[Sequence[str]]) -> tuple[frozenset[str], ...]:
    """Sets of objects' classes from the labels that each rule counts as the same; none for rules with one class."""
    classes = (frozenset(_object_of(tuple(each))) for each in labels)
    return tuple(dict.fromkeys(each for each in classes if len(each) > 1))


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """What a frame's detections are, row by row, and what has been lost for good.

    Attributes:
        ids: `(n,)` int64, the track of each detection; -1 where it belongs to none.
        velocity: `(n, 2)` float64, pixels per second; 0 for a new track.
        lost: Tracks given up in this frame.
    """

    ids: Int64Array
    velocity: Float64Array
    lost: tuple[Track, ...]

    @classmethod
    def none(cls, n: int, lost: tuple[Track, ...] = ()) -> "Tracks":
        """Of `n` detections none belongs to a track."""
        return cls(np.full(n, NO_TRACK, np.int64), np.zeros((n, 2)), lost)


def follow(
    state: TrackerState, time_s: float, detections: Detections, leeway: Leeway = USUAL, blind_s: float = 0.0
) -> tuple[TrackerState, Tracks]:
    """Take one frame into account.

    Args:
        state: As the last call returned it.
        time_s: Frame time in seconds; tracks of a later time are lost.
        detections: What the model saw.
        leeway: How long to wait for what isn't seen.
        blind_s: Seconds since the last frame in which nobody looked.

    Returns:
        The new state, and which track each detection belongs to.
    """
    of_now, of_another_time = _of_this_time(state.tracks, time_s)
    alive, lost = _expire(_unseen_for(blind_s, of_now), time_s, leeway)
    lost += of_another_time
    n = len(detections)
    if n == 0:
        return TrackerState(state.next_id, alive), Tracks.none(0, lost)
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in detections.xyxy.tolist()]
    scores: list[float] = detections.score.tolist()
    labels = [_object_of(detections.labels)[c] for c in detections.class_id.tolist()]
    track_of = _associate(alive, time_s, leeway, boxes, labels, scores)
    next_id, followed, tracks = state.next_id, list(alive), Tracks.none(n, lost)
    for row, box in enumerate(boxes):
        t = track_of.get(row)
        if t is not None:
            track = followed[t] = _moved(alive[t], time_s, box, labels[row])
        elif scores[row] >= BEGIN_SCORE:
            track = Track(next_id, labels[row], box, (0.0, 0.0), time_s, time_s)
            followed.append(track)
            next_id += 1
        else:
            continue
        tracks.ids[row], tracks.velocity[row] = track.id, track.velocity
    return TrackerState(next_id, tuple(followed)), tracks


def _of_this_time(tracks: tuple[Track, ...], time_s: float) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    """All but those of a clock that was ahead, and those: they would never be given up."""
    ahead = tuple(track for track in tracks if track.last_s > time_s + FARTHEST_AHEAD_S)
    return (tuple(track for track in tracks if track not in ahead) if ahead else tracks), ahead


def _unseen_for(blind_s: float, tracks: tuple[Track, ...]) -> tuple[Track, ...]:
    if not blind_s:
        return tracks
    return tuple(msgspec.structs.replace(track, blind_s=track.blind_s + blind_s) for track in tracks)


def _expire(tracks: tuple[Track, ...], time_s: float, leeway: Leeway) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    lost = {track.id for track in tracks if time_s - track.last_s > leeway.lasts_s(track)}
    long_gone = [track for track in tracks if time_s - track.last_s > leeway.near_s and track.id not in lost]
    if len(long_gone) > MOST_WAITING:
        long_gone.sort(key=lambda track: track.last_s)
        lost |= {track.id for track in long_gone[:-MOST_WAITING]}
    if not lost:
        return tracks, ()
    return tuple(t for t in tracks if t.id not in lost), tuple(t for t in tracks if t.id in lost)


class _Stage(IntEnum):
    """Pairs that may choose before others do."""

    SURE = 0
    UNSURE = 1
    OTHER_CLASS = 2
    LONG_GONE = 3


def _associate(
    tracks: tuple[Track, ...], time_s: float, leeway: Leeway, boxes: list[Box], labels: list[str], scores: list[float]
) -> dict[int, int]:
    """The index of the track of each detection that has one."""
    # Plain numbers: at a handful of objects they are several times as fast as arrays.
    track_of: dict[int, int] = {}
    stages: dict[_Stage, list[Pair]] = {}
    for stage, pair in _pairs(tracks, time_s, leeway, boxes, labels, scores):
        stages.setdefault(stage, []).append(pair)
    for stage in sorted(stages):
        taken = set(track_of.values())
        free = [pair for pair in stages[stage] if pair[1] not in taken and pair[2] not in track_of]
        track_of.update((row, t) for t, row in _assign(free))
    return track_of


def _pairs(
    tracks: tuple[Track, ...], time_s: float, leeway: Leeway, boxes: list[Box], labels: list[str], scores: list[float]
) -> Iterator[tuple[_Stage, Pair]]:
    """Each pair that may belong together, and when it may choose."""
    for t, track in enumerate(tracks):
        away_s = max(0.0, time_s - track.last_s)  # a restart may begin a little before it
        near = away_s <= leeway.near_s
        likeness_of = _moved_on(track, away_s) if near else _found_again(track)
        for row, box in enumerate(boxes):
            if track.label == labels[row]:
                if likeness := likeness_of(box):
                    sure = _Stage.SURE if scores[row] >= SURE_SCORE else _Stage.UNSURE
                    yield sure if near else _Stage.LONG_GONE, (likeness, t, row)
            elif near and leeway.confuses(track.label, labels[row]):
                likeness = _iou(_predicted(track, away_s), box)
                if likeness > _SAME_OBJECT:
                    yield _Stage.OTHER_CLASS, (likeness, t, row)


def _moved_on(track: Track, away_s: float) -> Callable[[Box], float]:
    """How like a box is to a track that has moved on for so long; 0 where it can't be it."""
    widen = min(_WIDEN_MOST, _WIDEN + _WIDEN_PER_S * away_s)
    x1, y1, x2, y2 = track.box
    area = max((x2 - x1) * (y2 - y1), _TINY)
    predicted = _widened(_predicted(track, away_s), widen)

    def likeness(box: Box) -> float:
        ratio = max((box[2] - box[0]) * (box[3] - box[1]), _TINY) / area
        if not 1 / _MAX_AREA_RATIO <= ratio <= _MAX_AREA_RATIO:
            return 0.0
        found = _iou(predicted, _widened(box, widen))
        return found if found > _MIN_LIKENESS else 0.0

    return likeness


def _found_again(track: Track) -> Callable[[Box], float]:
    """How like a box is to a track that was away for long: it lies where the track was, or isn't it, which is 0."""

    def likeness(box: Box) -> float:
        found = _iou(track.box, box)
        return found if found > _SAME_PLACE else 0.0

    return likeness


def _predicted(track: Track, away_s: float) -> Box:
    ahead_s = min(away_s, _MAX_PREDICTION_S)
    dx, dy = track.velocity[0] * ahead_s, track.velocity[1] * ahead_s
    x1, y1, x2, y2 = track.box
    return x1 + dx, y1 + dy, x2 + dx, y2 + dy


def _assign(pairs: list[Pair]) -> Iterable[tuple[int, int]]:
    """Track and detection of each pair chosen: those that together are most alike, each taken once."""
    tracks, rows = list({t: None for _, t, _ in pairs}), list({row: None for _, _, row in pairs})
    if len(tracks) == len(rows) == len(pairs):
        return [(t, row) for _, t, row in pairs]  # no two want the same
    cost = np.full((len(tracks), len(rows)), 2.0)
    for likeness, t, row in pairs:
        cost[tracks.index(t), rows.index(row)] = 1 - likeness
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=1 - _MIN_LIKENESS)
    return [(tracks[i], rows[int(column)]) for i, column in enumerate(column_of) if column >= 0]


def _widened(box: Box, by: float) -> Box:
    x1, y1, x2, y2 = box
    x, y = (x2 - x1) * by, (y2 - y1) * by
    return x1 - x, y1 - y, x2 + x, y2 + y


def _iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    overlap = width * height
    return overlap / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap)


def _moved(track: Track, time_s: float, new: Box, label: str) -> Track:
    old, elapsed_s = track.box, time_s - track.last_s
    vx, vy = track.velocity
    if elapsed_s > 0:
        moved_x = (new[0] + new[2] - old[0] - old[2]) / 2 / elapsed_s
        moved_y = (new[1] + new[3] - old[1] - old[3]) / 2 / elapsed_s
        first = track.first_s == track.last_s  # there is no velocity yet that could be smoothed
        weight = 1.0 if first else _VELOCITY_SMOOTHING
        vx, vy = vx + (moved_x - vx) * weight, vy + (moved_y - vy) * weight
    return Track(track.id, label, new, (vx, vy), track.first_s, time_s)


@lru_cache(maxsize=256)
def _object_of(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The object behind each class: a person who lies is the person who stood."""
    return tuple(label.removesuffix(_LYING) for label in labels)
