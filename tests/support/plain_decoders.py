"""What the shared models say of a picture, by the pre- and post-processing of MANIFEST.json, in plain NumPy.

A second hand: nothing of `converters` is used, so that both can't make the same mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

Outputs = dict[str, np.ndarray]
NMS_IOU = 0.45


@dataclass(frozen=True)
class PlainModel:
    """One of the shared models.

    Attributes:
        file: Its name without suffix.
        canvas: Sides of its NV12 frames in pixels.
        prepare: Canvas as BGR uint8 `[H, W, 3]` → what the network takes, without batch axis.
        read: Outputs of one picture and the score threshold → rows `[n, 6 + 3K]`, best first, or scores `[C]`.
        top_left: Whether the picture keeps its shape and lies at the top left; else it is stretched.
    """

    file: str
    canvas: int
    prepare: Callable[[np.ndarray], np.ndarray]
    read: Callable[[Outputs, float], np.ndarray]
    top_left: bool = False

    def frame(self, picture: np.ndarray) -> np.ndarray:
        """Return a BGR picture as NV12 uint8 `[canvas * 3 / 2, canvas]`."""
        side = self.canvas
        scale = np.array([side / picture.shape[1], side / picture.shape[0]])
        width, height = np.round(np.array(picture.shape[1::-1]) * (scale.min() if self.top_left else scale)).astype(int)
        canvas = np.full((side, side, 3), 114, dtype=np.uint8)
        canvas[:height, :width] = cv2.resize(picture, (int(width), int(height)), interpolation=cv2.INTER_AREA)
        planes = cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420)
        chroma = planes[side:].reshape(2, -1).T.reshape(side // 2, side)
        return np.concatenate([planes[:side], chroma])

    def answers(self, models: Path, frames: np.ndarray, score_threshold: float) -> list[np.ndarray]:
        """Return what the original file says of each NV12 frame."""
        original = onnxruntime.InferenceSession(models / f"{self.file}.onnx", providers=["CPUExecutionProvider"])
        names = [output.name for output in original.get_outputs()]
        answers = []
        for frame in frames:
            tensor = self.prepare(cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12)).astype(np.float32)[None]
            outputs = original.run(names, {original.get_inputs()[0].name: tensor})
            by_name = {name: array[0].astype(np.float64) for name, array in zip(names, outputs, strict=True)}
            answers.append(self.read(by_name, score_threshold))
        return answers


def _planes_first(levels: np.ndarray) -> np.ndarray:
    return levels.transpose(2, 0, 1)


def _yolox(outputs: Outputs, score_threshold: float) -> np.ndarray:
    """Rows in order of stride 8, 16, 32: centre by cell, sides by exponential, scores through Sigmoid already."""
    table, first, boxes = outputs["output"], 0, []
    for stride in (8, 16, 32):
        side = 416 // stride
        for cell in range(side * side):
            x, y, w, h = table[first + cell, :4]
            centre = (x + cell % side) * stride, (y + cell // side) * stride
            boxes.append(_corners(*centre, np.exp(w) * stride, np.exp(h) * stride))
        first += side * side
    return _best(np.array(boxes), table[:, 4:5] * table[:, 5:], score_threshold)


def _decoded(outputs: Outputs, score_threshold: float) -> np.ndarray:
    """Rows of centre, sides, objectness and classes."""
    table = outputs["output0"]
    return _best(np.array([_corners(*row) for row in table[:, :4]]), table[:, 4:5] * table[:, 5:], score_threshold)


def _fastestdet(outputs: Outputs, score_threshold: float) -> np.ndarray:
    """One grid of 22 x 22: objectness to the 0.6th times class to the 0.4th; tanh places, sigmoid sizes."""
    grid, boxes, scores = outputs["758"], [], []
    for y in range(22):
        for x in range(22):
            cell = grid[:, y, x]
            centre = (x + np.tanh(cell[1])) / 22, (y + np.tanh(cell[2])) / 22
            boxes.append(_corners(*centre, *(1 / (1 + np.exp(-cell[3:5])))))
            scores.append(cell[0] ** 0.6 * cell[5:] ** 0.4)
    return _best(np.array(boxes) * 352, np.array(scores), score_threshold)


def _posenet(outputs: Outputs, _score_threshold: float) -> np.ndarray:
    """One person: the best cell of each keypoint's heat map, times 16, plus the offsets (17 y, then 17 x) there."""
    heat, offset, keypoints = outputs["heatmap"], outputs["offset_2"], []
    for index in range(17):
        y, x = divmod(int(heat[:, :, index].argmax()), 17)
        keypoints.append([x * 16 + offset[y, x, 17 + index], y * 16 + offset[y, x, index], heat[y, x, index]])
    return np.array(keypoints) * [258 / 257, 258 / 257, 1]


def _posenet_input(bgr: np.ndarray) -> np.ndarray:
    """All of a canvas of 258 pixels on the network's 257."""
    return cv2.resize(bgr.astype(np.float32), (257, 257), interpolation=cv2.INTER_LINEAR)[:, :, ::-1] / 127.5 - 1


def _corners(x: float, y: float, w: float, h: float) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _best(boxes: np.ndarray, scores: np.ndarray, score_threshold: float) -> np.ndarray:
    """Keep each cell's best class above the threshold, and of boxes of one class that overlap the best."""
    rows = np.column_stack([boxes, scores.max(axis=1), scores.argmax(axis=1)])
    rows = rows[rows[:, 4] > score_threshold]
    kept: list[np.ndarray] = []
    for row in rows[np.argsort(-rows[:, 4])]:
        if all(row[5] != other[5] or overlap(row, other) <= NMS_IOU for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 6)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Area that two boxes share by area that they cover."""
    width, height = np.minimum(one[2:4], other[2:4]) - np.maximum(one[:2], other[:2])
    shared = max(width, 0) * max(height, 0)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(shared / (sum(areas) - shared))


YOLOX = PlainModel("yolox_nano_416", 416, _planes_first, _yolox, top_left=True)
V5_LAYOUT = PlainModel(
    "yolox_nano_v5layout_416", 416, lambda bgr: _planes_first(bgr[:, :, ::-1] / 255), _decoded, top_left=True
)
FASTESTDET = PlainModel("fastestdet_coco_352", 352, lambda bgr: _planes_first(bgr / 255), _fastestdet)
POSENET = PlainModel("posenet_mbv1_257_s16_fp32", 258, _posenet_input, _posenet)
WAKE_WORDS = PlainModel("vww_person_96_float", 96, lambda bgr: bgr[:, :, ::-1] / 255, lambda out, _: out["Identity"])
