"""Which detections count for a zone."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely

from gateway.domain.detections import Detections, Float32Array
from gateway.domain.rule import Anchor, Point, ZonePresence
from gateway.rules.episode import Hit


def anchors(xyxy: Float32Array, anchor: Anchor) -> Float32Array:
    """`(n, 2)` anchor points of `(n, 4)` boxes: the middle of the lower edge (feet), or of the box."""
    points = np.empty((len(xyxy), 2), np.float32)
    points[:, 0] = (xyxy[:, 0] + xyxy[:, 2]) / 2
    points[:, 1] = xyxy[:, 3] if anchor is Anchor.FEET else (xyxy[:, 1] + xyxy[:, 3]) / 2
    return points


def inside(zone: tuple[Point, ...], points: Float32Array, resolution_wh: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which of `(n, 2)` points in source pixels lie in the zone or on its border: `(n,)` bool."""
    fractions = points.astype(np.float64) / np.asarray(resolution_wh, np.float64)
    hits: npt.NDArray[np.bool_] = shapely.intersects_xy(_polygon(zone), fractions[:, 0], fractions[:, 1])
    return hits


def best_hit(definition: ZonePresence, detections: Detections, resolution_wh: tuple[int, int]) -> Hit | None:
    """The best-scored object that counts; None when there is none."""
    counted = np.isin(detections.class_id, _class_ids(definition.labels, detections.labels))
    counted &= detections.score >= np.float32(definition.min_score)
    if not counted.any():
        return None
    counted &= inside(definition.zone, anchors(detections.xyxy, definition.anchor), resolution_wh)
    if not counted.any():
        return None
    i = int(np.argmax(np.where(counted, detections.score, -1)))
    x1, y1, x2, y2 = (float(v) for v in detections.xyxy[i])
    return Hit(label=detections.label(i), score=float(detections.score[i]), box=(x1, y1, x2, y2))


@lru_cache(maxsize=1024)
def _polygon(zone: tuple[Point, ...]) -> shapely.Polygon:
    polygon = shapely.Polygon(zone)
    shapely.prepare(polygon)
    return polygon


@lru_cache(maxsize=1024)
def _class_ids(wanted: tuple[str, ...], labels: tuple[str, ...]) -> list[int]:
    return [i for i, label in enumerate(labels) if label in wanted]
