"""What a person's body does, as far as one frame tells."""

from enum import StrEnum

import numpy as np

from gateway.domain.definitions import PostureDefinition
from gateway.rules.observation import Observation

KEYPOINT_SCORE = 0.3
SHOULDERS, HIPS = (5, 6), (11, 12)
"""Rows of the COCO keypoint order."""

LYING_DEGREES = 50.0
"""A torso farther from upright than this lies."""

EDGE = 0.02
"""A box this near to the picture's edge, in fractions, may have left the picture."""


class Posture(StrEnum):
    """What a person does; `CUT_OFF` where the picture's edge may have made an upright person's box a wide one."""

    UP = "up"
    LYING = "lying"
    CUT_OFF = "cut_off"


def posture(definition: PostureDefinition, observation: Observation, row: int) -> Posture:
    """Whether a person lies: by their class where the model tells, else by their keypoints, else by their box."""
    detections = observation.detections
    if any(label in detections.labels for label in definition.lying_labels):
        return Posture.LYING if detections.label(row) in definition.lying_labels else Posture.UP
    lean = _torso_degrees(detections.keypoints[row])
    if lean is not None:
        return Posture.LYING if lean > LYING_DEGREES else Posture.UP
    x1, y1, x2, y2 = detections.xyxy[row].tolist()
    if x2 - x1 < definition.min_aspect * (y2 - y1):
        return Posture.UP
    height = observation.resolution_wh[1]
    return Posture.LYING if y1 > EDGE * height and y2 < height - EDGE * height else Posture.CUT_OFF


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
