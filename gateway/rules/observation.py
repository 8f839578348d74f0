"""What rules are shown of one frame, and the objects in it that count."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely

from gateway.domain.definitions import Anchor, ObjectDefinition, Point, ZoneDefinition
from gateway.domain.definitions.base import WHOLE_PICTURE
from gateway.domain.detections import Detections, Float32Array
from gateway.domain.frame import UInt8Array
from gateway.rules.episode import Hit
from gateway.rules.tracker import NO_TRACK, Tracks

BoolArray = npt.NDArray[np.bool_]

PERIODS_IN_A_GAP = 2.5
"""One frame that is missed, or late, makes no gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What is known of one frame.

    Attributes:
        time_s: Frame time in seconds.
        resolution_wh: Width and height of the source picture in pixels.
        detections: What the model saw, in source pixels.
        tracks: Which followed object each detection is; `Tracks.none` where no rule follows any.
        luma: `(36, 64)` uint8, pixels picked from the picture's luma; None where no rule looks at the picture itself.
        blind_s: Seconds since the frame before in which frames were due and none was seen.
        least_gap_s: Up to so many seconds between two frames are no gap, as frames are due no more often.
    """

    time_s: float
    resolution_wh: tuple[int, int]
    detections: Detections
    tracks: Tracks
    luma: UInt8Array | None = None
    blind_s: float = 0.0
    least_gap_s: float = 0.0

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """`(2,)` what a fraction of the picture's width and height is multiplied with to be pixels."""
        return np.asarray(self.resolution_wh, np.float64)

    def hit(self, row: int, label: str = "") -> Hit:
        """An object as a hit, under another label where one is given."""
        detections = self.detections
        x1, y1, x2, y2 = detections.xyxy[row].tolist()
        track_id = int(self.tracks.ids[row])
        return Hit(
            label=label or detections.label(row),
            score=float(detections.score[row]),
            box=(x1, y1, x2, y2),
            track_id=None if track_id == NO_TRACK else track_id,
        )

    def of_class(self, labels: tuple[str, ...], min_score: float) -> BoolArray:
        """`(n,)`: which objects are of these classes, from this score on."""
        detections = self.detections
        wanted = _wanted(labels, detections.labels)[detections.class_id]
        return wanted & (detections.score >= np.float32(min_score)) if min_score else wanted


def counted(definition: ObjectDefinition, observation: Observation) -> list[int]:
    """Rows of the objects that count: of its classes, sure enough to continue, and in its zone.

    Lists, as every rule asks this of every frame: for the few objects there are, NumPy takes three times as long.
    """
    detections = observation.detections
    floor = definition.min_score if definition.keep_score is None else min(definition.keep_score, definition.min_score)
    floor = float(np.float32(floor))  # as the scores are
    wanted = _wanted(definition.labels, detections.labels).tolist()
    objects = zip(detections.class_id.tolist(), detections.score.tolist(), strict=True)
    rows = [row for row, (class_id, score) in enumerate(objects) if wanted[class_id] and score >= floor]
    if rows and isinstance(definition, ZoneDefinition) and definition.zone != WHOLE_PICTURE:
        within = inside(definition.zone, definition.anchor, observation)
        rows = [row for row in rows if within[row]]
    return rows


def followed(definition: ObjectDefinition, observation: Observation) -> Iterator[tuple[str, int]]:
    """Track number, as the key of an episode, and row of each object that counts and is followed."""
    for row in counted(definition, observation):
        track_id = int(observation.tracks.ids[row])
        if track_id != NO_TRACK:
            yield str(track_id), row


def anchors(xyxy: Float32Array, anchor: Anchor) -> Float32Array:
    """`(n, 2)` anchor points of `(n, 4)` boxes: the middle of the lower edge (feet), or of the box."""
    points = np.empty((len(xyxy), 2), np.float32)
    points[:, 0] = (xyxy[:, 0] + xyxy[:, 2]) / 2
    points[:, 1] = xyxy[:, 3] if anchor is Anchor.FEET else (xyxy[:, 1] + xyxy[:, 3]) / 2
    return points


def inside(zone: tuple[Point, ...], anchor: Anchor, observation: Observation) -> BoolArray:
    """`(n,)`: which objects lie in the zone or on its border, by their anchor."""
    xyxy = observation.detections.xyxy
    if anchor is Anchor.ANY_OVERLAP:
        boxes = xyxy.astype(np.float64) / np.tile(observation.scale, 2)
        overlap: BoolArray = shapely.intersects(polygon(zone), shapely.box(*boxes.T))
        return overlap
    points = anchors(xyxy, anchor).astype(np.float64) / observation.scale
    hits: BoolArray = shapely.intersects_xy(polygon(zone), points[:, 0], points[:, 1])
    return hits


@lru_cache(maxsize=1024)
def polygon(zone: tuple[Point, ...]) -> shapely.Polygon:
    """A zone, prepared for many questions."""
    area = shapely.Polygon(zone)
    shapely.prepare(area)
    return area


@lru_cache(maxsize=1024)
def _wanted(wanted: tuple[str, ...], labels: tuple[str, ...]) -> BoolArray:
    """`(classes,)`: which of a model's classes are wanted."""
    return np.array([label in wanted for label in labels], np.bool_)
