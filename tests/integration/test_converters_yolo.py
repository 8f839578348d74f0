"""A real YOLOv5 layout against its own rows decoded by hand and by others, and poses through a real Triton."""

import json

import numpy as np
import onnx
import pytest

from converters import families
from converters.cli import main as convert
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.pictures import load_pictures
from converters.reference import iou
from converters.verify import frames_of, onnx_runner
from tests.support.tiny_yolos import TinyYolo


@pytest.fixture(scope="module")
def built(data_dir):
    file = read_onnx(data_dir / "models/yolox_nano_v5layout_416.onnx")
    chosen, _ = families.choose(file)
    assert chosen.name == "yolov5"
    return chosen.build(file, BuildOptions())


@pytest.fixture(scope="module")
def photographs(data_dir):
    return load_pictures(data_dir / "images")


def f1_at(overlap, expected, found):
    """F1 of rows matched one to one, by class and overlap."""
    hits = 0
    for wanted, rows in zip(expected, found, strict=True):
        free = np.ones(len(rows), dtype=bool)
        for row in wanted:
            near = free & (rows[:, 5] == row[5]) & (iou(row[:4], rows[:, :4]) >= overlap)
            if near.any():
                free[int(np.flatnonzero(near)[0])] = False
                hits += 1
    return 2 * hits / (sum(map(len, expected)) + sum(map(len, found)))


def test_every_photograph_at_every_index_of_batches_up_to_eight_has_the_rows_of_the_reference(built, photographs):
    frames = frames_of(photographs, built.spec)
    expected = built.reference(frames, built.spec.score_threshold)
    assert sum(map(len, expected)) >= 12
    run = onnx_runner(built.model.SerializeToString())
    for batch in range(1, 9):
        wanted, found = [], []
        for start in range(0, len(frames), batch):
            members = [(start + offset) % len(frames) for offset in range(batch)]
            wanted += [expected[member] for member in members]
            found += run(frames[members])
        assert f1_at(0.9, wanted, found) >= 0.99


def test_objects_of_a_decoder_by_other_hands_are_found(built, photographs, data_dir):
    results = json.loads((data_dir / "reference_outputs.json").read_text())
    theirs = results["yolox_nano_416"]["results"]
    rows = onnx_runner(built.model.SerializeToString())(frames_of(photographs, built.spec))
    for name, picture, found in zip(photographs.names, photographs.pictures, rows, strict=True):
        height, width = picture.shape[:2]
        scale = min(416 / height, 416 / width)
        shift = [(416 - width * scale) / 2, (416 - height * scale) / 2] * 2
        for wanted in (row for row in theirs[name] if row["score"] > 0.5):
            box = np.array(wanted["box"], dtype=np.float32) * scale + np.float32(shift)
            assert (iou(box, found[:, :4]) > 0.75).any(), (name, wanted)


def test_a_pose_is_published_and_answers_through_triton(tmp_path, capsys):
    onnx.save(TinyYolo(classes=1, keypoints=17).columns(), tmp_path / "pose.onnx")
    command = ["onnx", str(tmp_path / "pose.onnx"), "--name", "pose", "--repository", str(tmp_path / "models")]
    assert convert([*command, "--score-threshold", "0.6", "--max-detections", "20", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["family"] == "yolov8_pose"
    assert answer["triton"]["rows"] > 50
    assert answer["triton"]["unmatched"] == 0
