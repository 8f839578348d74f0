"""The graph against OpenCV's own detector on photographs."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from converters.builtin_hog import MARGIN_PX, OPSET, RATIO, SLOPE, SPEC, build
from converters.hog_parity import descriptor_difference
from converters.hog_pyramid import ladder
from converters.hog_reference import OpencvPeopleDetector, grey_of, people_detector
from converters.pictures import PictureSet, load_pictures
from converters.verify import Runner, frames_of, onnx_runner, verify

FLOOR = -1.0
"""Distance from the SVM's plane down to which OpenCV's hits are asked for; well below 0, so that there are many."""

SLACK = 0.05
"""By which distances may differ: OpenCV scales its pyramid with weights of 8 bits."""


@pytest.fixture(scope="module")
def photographs(data_dir: Path) -> PictureSet:
    return load_pictures(data_dir / "images")


@pytest.fixture(scope="module")
def frames(photographs: PictureSet) -> NDArray[np.uint8]:
    return frames_of(photographs, SPEC)


@pytest.fixture(scope="module")
def detect() -> Runner:
    return onnx_runner(build().model.SerializeToString())


def rows_by_file(photographs: PictureSet, frames: NDArray[np.uint8], run: Runner) -> dict[str, NDArray[np.float32]]:
    return dict(zip(photographs.names, run(frames), strict=True))


def test_descriptors_of_photographs_are_opencvs(photographs: PictureSet):
    for picture in photographs.pictures:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
        difference = descriptor_difference(grey, MARGIN_PX, OPSET)
        assert difference.largest <= 1e-5
        assert difference.mean <= 1e-6


@pytest.mark.slow
def test_the_graph_agrees_with_opencv_at_every_batch_size_and_index(photographs: PictureSet):
    parity = verify(build(), photographs)
    assert parity.same_pixels.rows > 500
    assert parity.same_pixels.unmatched == 0
    assert parity.same_pixels.score < 1e-3


def test_every_hit_of_detect_multi_scale_is_a_hit_of_the_graph(frames: NDArray[np.uint8]):
    floor_score = 1 / (1 + np.exp(-SLOPE * (FLOOR - SLACK)))
    every_window = replace(SPEC, score_threshold=floor_score, nms_iou=0.99, max_detections=3000)
    found = onnx_runner(build(every_window).model.SerializeToString())(frames)
    hits = [
        nearest_distance(rows, box) - distance
        for frame, rows in zip(frames, found, strict=True)
        for box, distance in multi_scale(grey_of(frame[: SPEC.height]))
    ]
    assert len(hits) > 50
    assert np.mean(np.abs(hits) < SLACK) >= 0.99


def nearest_distance(rows: NDArray[np.float32], box: NDArray[np.float64]) -> float:
    """Distance from the SVM's plane of the row whose box is within 4 px of `box`; -inf where there is none."""
    offsets = np.abs(rows[:, :4] - box).max(axis=1)
    if not len(rows) or offsets.min() >= 4:
        return -np.inf
    score = rows[offsets.argmin(), 4]
    return float(np.log(score / (1 - score)) / SLOPE)


def multi_scale(grey: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
    """OpenCV's ungrouped hits away from the picture's edge, as boxes of the person, and their distances."""
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(people_detector())
    windows, distances = hog.detectMultiScale(
        grey, hitThreshold=FLOOR, winStride=(8, 8), padding=(0, 0), scale=RATIO, groupThreshold=0
    )
    height, width = grey.shape
    hits = []
    for (x, y, w, h), distance in zip(np.asarray(windows).reshape(-1, 4), np.ravel(distances), strict=True):
        inside = x > 8 and y > 8 and x + w < width - 8 * w / 64 and y + h < height - 8 * h / 128
        if inside:
            box = np.array([x + w * 12 / 64, y + h * 16 / 128, x + w * 52 / 64, y + h * 112 / 128])
            hits.append((box, float(distance)))
    return hits


def test_people_who_stand_are_found_where_they_are(photographs: PictureSet, frames: NDArray[np.uint8], detect: Runner):
    rows = rows_by_file(photographs, frames, detect)
    for name, (left, right) in {"standing_full_body_pexels.jpg": (270, 370), "worker_standing.jpg": (140, 225)}.items():
        best = rows[name][0]
        assert best[4] > 0.95
        assert left < (best[0] + best[2]) / 2 < right


def test_an_empty_room_and_people_on_the_floor_are_nobody(
    photographs: PictureSet, frames: NDArray[np.uint8], detect: Runner
):
    rows = rows_by_file(photographs, frames, detect)
    for name in ("empty_room.jpg", "room_fallen_back_s2.jpg", "room_fallen_side_s1.jpg"):
        assert len(rows[name]) == 0


def test_another_canvas_and_threshold_can_be_built(photographs: PictureSet):
    spec = replace(SPEC, height=240, width=320, score_threshold=0.6)
    small = replace(photographs, pictures=photographs.pictures[:2], names=photographs.names[:2])
    assert verify(build(spec), small).same_pixels.unmatched == 0


def test_the_reference_scores_a_window_by_its_distance(frames: NDArray[np.uint8], photographs: PictureSet):
    levels = ladder(SPEC.height, SPEC.width, ratio=RATIO, margin=MARGIN_PX)
    opencv = OpencvPeopleDetector(SPEC, levels, SLOPE)
    frame = frames[photographs.names.index("worker_standing.jpg")]
    best = opencv.distances(grey_of(frame[: SPEC.height]), floor=0.0).max()
    assert opencv(frame[None], 0.5)[0][0, 4] == pytest.approx(1 / (1 + np.exp(-SLOPE * best)))
