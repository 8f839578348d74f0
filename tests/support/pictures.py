"""Frames made for tests."""

import numpy as np

from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.letterbox import LetterboxMode
from gateway.domain.model import ModelContract, Task

CONTRACT = ModelContract(
    name="people",
    version="2",
    task=Task.DETECT,
    input_wh=(416, 416),
    letterbox=LetterboxMode.CENTER,
    pad_luma=16,
    labels=("person", "car"),
    sha256="ab" * 32,
)


def a_frame(
    index: int = 0, time_s: float = 0.0, resolution_wh: tuple[int, int] = (64, 48), luma: int = 100, seed: int = -1
) -> Frame:
    """A frame of one grey, or of noise where a seed is given."""
    width, height = resolution_wh
    half = ((height + 1) // 2, (width + 1) // 2)
    if seed < 0:
        planes = [np.full((height, width), luma, np.uint8), np.full(half, 128, np.uint8), np.full(half, 128, np.uint8)]
    else:
        noise = np.random.default_rng(seed)
        planes = [noise.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half)]
    return Frame(index, time_s, time_s, *planes)


def people(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Detections:
    """Detections of people, all with one score."""
    n = len(boxes)
    return Detections(
        xyxy=np.asarray(boxes, np.float32).reshape(n, 4),
        score=np.full(n, score, np.float32),
        class_id=np.zeros(n, np.int32),
        labels=("person", "car"),
        keypoints=np.zeros((n, 0, 3), np.float32),
    )
