"""Which object of this frame is which of the frames before: stable numbers, over gaps too.

Two association stages by score as in ByteTrack (Zhang et al., ECCV 2022): sure detections choose first, unsure ones
only continue a track. What is compared are boxes widened all round, as in C-BIoU (Yang et al., WACV 2023), so that an
object that moved by more than its own width since the last frame is still found; the widening grows with the time in
between, because cameras are looked at a few times a second only. Positions are predicted with a smoothed velocity.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import lap
import msgspec
import numpy as np
import numpy.typing as npt

from gateway.domain.detections import Detections

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
Box = tuple[float, float, float, float]

BEGIN_SCORE = 0.4
"""A detection below this continues a track and begins none."""

SURE_SCORE = 0.5
LOST_S = 3.0
STILL_LOST_S = 10.0
"""Who was standing still is found again in the same place for longer."""

STILL_SPEED = 0.15
"""Box heights per second below which an object stands still."""

FARTHEST_AHEAD_S = 30.0
"""A track that was seen later than that after a frame is of another time."""

NO_TRACK = -1
_WIDEN, _WIDEN_PER_S, _WIDEN_MOST = 0.3, 0.5, 1.5
_MIN_LIKENESS = 0.05
_MAX_AREA_RATIO = 5.0
_MAX_PREDICTION_S = 1.0
_VELOCITY_SMOOTHING = 0.5
_TINY = 1e-9
_LYING = "_lying"


class Track(msgspec.Struct, frozen=True, array_like=True):
    """One followed object, as it was seen last.

    Attributes:
        id: Its number, never given twice.
        label: The class of the object, whatever its posture.
        box: x1, y1, x2, y2 in source pixels.
        velocity: Of the box's middle, pixels per second of frame time.
        first_s: Frame time when it was seen first.
        last_s: And last.
    """

    id: int
    label: str
    box: Box
    velocity: tuple[float, float]
    first_s: float
    last_s: float


class TrackerState(msgspec.Struct, frozen=True):
    """All that is remembered between two frames."""

    next_id: int = 1
    tracks: tuple[Track, ...] = ()


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
    state: TrackerState, time_s: float, detections: Detections, least_gap_s: float = 0.0
) -> tuple[TrackerState, Tracks]:
    """Take one frame into account.

    Args:
        state: As the last call returned it.
        time_s: Frame time in seconds; tracks of a later time are forgotten.
        detections: What the model saw.
        least_gap_s: No track is given up sooner than this after it was seen.

    Returns:
        The new state, and which track each detection belongs to.
    """
    alive, lost = _expire(_of_this_time(state.tracks, time_s), time_s, least_gap_s)
    n = len(detections)
    if n == 0:
        return TrackerState(state.next_id, alive), Tracks.none(0, lost)
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in detections.xyxy.tolist()]
    scores: list[float] = detections.score.tolist()
    labels = [_object_of(detections.labels)[c] for c in detections.class_id.tolist()]
    track_of = _associate(alive, time_s, boxes, labels, scores)
    next_id, followed, tracks = state.next_id, list(alive), Tracks.none(n, lost)
    for row, box in enumerate(boxes):
        t = track_of.get(row)
        if t is not None:
            track = followed[t] = _moved(alive[t], time_s, box)
        elif scores[row] >= BEGIN_SCORE:
            track = Track(next_id, labels[row], box, (0.0, 0.0), time_s, time_s)
            followed.append(track)
            next_id += 1
        else:
            continue
        tracks.ids[row], tracks.velocity[row] = track.id, track.velocity
    return TrackerState(next_id, tuple(followed)), tracks


def _of_this_time(tracks: tuple[Track, ...], time_s: float) -> tuple[Track, ...]:
    """Without those of a clock that was ahead: they would never be given up."""
    ahead = any(track.last_s > time_s + FARTHEST_AHEAD_S for track in tracks)
    return tuple(track for track in tracks if track.last_s <= time_s + FARTHEST_AHEAD_S) if ahead else tracks


def _expire(
    tracks: tuple[Track, ...], time_s: float, least_gap_s: float
) -> tuple[tuple[Track, ...], tuple[Track, ...]]:
    lost = tuple(track for track in tracks if time_s - track.last_s > max(least_gap_s, _patience_s(track)))
    return (tuple(track for track in tracks if track not in lost), lost) if lost else (tracks, ())


def _patience_s(track: Track) -> float:
    height = max(1.0, track.box[3] - track.box[1])
    still = math.hypot(*track.velocity) < STILL_SPEED * height and track.last_s - track.first_s >= LOST_S
    return STILL_LOST_S if still else LOST_S


def _associate(
    tracks: tuple[Track, ...], time_s: float, boxes: list[Box], labels: list[str], scores: list[float]
) -> dict[int, int]:
    """The index of the track of each detection that has one."""
    # Plain numbers: at a handful of objects they are several times as fast as arrays.
    track_of: dict[int, int] = {}
    likely = [pair for pair in _pairs(tracks, time_s, boxes) if tracks[pair[1]].label == labels[pair[2]]]
    for sure in (True, False):
        taken = set(track_of.values())
        stage = [pair for pair in likely if pair[1] not in taken and (scores[pair[2]] >= SURE_SCORE) is sure]
        track_of.update((row, t) for t, row in _assign(stage))
    return track_of


def _pairs(tracks: tuple[Track, ...], time_s: float, boxes: list[Box]) -> Iterator[tuple[float, int, int]]:
    """Likeness, track and detection of each pair that may belong together."""
    for t, track in enumerate(tracks):
        away_s = max(0.0, time_s - track.last_s)  # a restart may begin a little before it
        widen = min(_WIDEN_MOST, _WIDEN + _WIDEN_PER_S * away_s)
        ahead_s = min(away_s, _MAX_PREDICTION_S)
        dx, dy = track.velocity[0] * ahead_s, track.velocity[1] * ahead_s
        x1, y1, x2, y2 = track.box
        predicted = _widened((x1 + dx, y1 + dy, x2 + dx, y2 + dy), widen)
        area = max((x2 - x1) * (y2 - y1), _TINY)
        for row, box in enumerate(boxes):
            ratio = max((box[2] - box[0]) * (box[3] - box[1]), _TINY) / area
            if 1 / _MAX_AREA_RATIO <= ratio <= _MAX_AREA_RATIO:
                likeness = _iou(predicted, _widened(box, widen))
                if likeness > _MIN_LIKENESS:
                    yield likeness, t, row


def _assign(pairs: list[tuple[float, int, int]]) -> Iterable[tuple[int, int]]:
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


def _moved(track: Track, time_s: float, new: Box) -> Track:
    old, elapsed_s = track.box, time_s - track.last_s
    vx, vy = track.velocity
    if elapsed_s > 0:
        moved_x = (new[0] + new[2] - old[0] - old[2]) / 2 / elapsed_s
        moved_y = (new[1] + new[3] - old[1] - old[3]) / 2 / elapsed_s
        first = track.first_s == track.last_s  # there is no velocity yet that could be smoothed
        weight = 1.0 if first else _VELOCITY_SMOOTHING
        vx, vy = vx + (moved_x - vx) * weight, vy + (moved_y - vy) * weight
    return Track(track.id, track.label, new, (vx, vy), track.first_s, time_s)


@lru_cache(maxsize=256)
def _object_of(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The object behind each class: a person who lies is the person who stood."""
    return tuple(label.removesuffix(_LYING) for label in labels)
