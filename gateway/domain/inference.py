"""The answer to one frame, as the pipeline passes it on and as users read it."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.domain.detections import Detections
from gateway.domain.model import ModelContract


@dataclass(frozen=True, slots=True, eq=False)
class InferenceResult:
    """What one runtime saw in one frame. `latency_s` runs from the call to its answer, scaling included."""

    detections: Detections
    contract: ModelContract
    runtime_id: str
    latency_s: float


class DetectedObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object: its box is x1, y1, x2, y2 in source pixels, its keypoints x, y, score."""

    label: str
    score: float
    box: tuple[float, ...]
    keypoints: tuple[tuple[float, ...], ...] = ()


def describe(detections: Detections) -> tuple[DetectedObject, ...]:
    """Every object, best score first; scores to four digits, pixels to two."""
    return tuple(
        DetectedObject(
            label=detections.label(i),
            score=round(float(detections.score[i]), 4),
            box=_rounded(detections.xyxy[i].tolist()),
            keypoints=tuple(_rounded(point) for point in detections.keypoints[i].tolist()),
        )
        for i in range(len(detections))
    )


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(v, 2) for v in values)
