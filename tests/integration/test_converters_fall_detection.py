"""Falls: real pictures and clips of people who stand, sit and lie, through a detector with quarter turns."""

import json

import cv2
import numpy as np
import pytest

from converters import families
from converters.cli import main
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.pictures import nv12_of, on_canvas
from converters.quarter_turns import LYING, with_quarter_turns
from converters.verify import onnx_runner


@pytest.fixture(scope="module")
def labels_in(data_dir):
    """A function: picture → the labels of persons in it."""
    upright = families.FAMILIES["yolox"].build(read_onnx(data_dir / "models/yolox_nano_416.onnx"), BuildOptions())
    turned = with_quarter_turns(upright)
    run = onnx_runner(turned.model.SerializeToString())

    def ask(picture):
        (rows,) = run(nv12_of(on_canvas(picture, turned.spec))[None])
        labels = [turned.spec.labels[int(label)] for label in rows[:, 5]]
        return [label for label in labels if label in ("person", LYING)]

    return ask


def frames_of_clip(path, step):
    """Every `step`-th frame and its time in seconds."""
    clip = cv2.VideoCapture(str(path))
    fps, index = clip.get(cv2.CAP_PROP_FPS), 0
    while clip.grab():
        if index % step == 0:
            yield index / fps, clip.retrieve()[1]
        index += 1
    clip.release()


@pytest.mark.parametrize(
    ("picture", "persons"),
    [
        ("room_fallen_side_s1", [LYING]),
        ("room_fallen_back_s2", [LYING]),
        ("room_standing_reading_s1", ["person"]),
        ("room_sitting_chair_s1", ["person"]),
        ("standing_full_body_pexels", ["person"]),
        ("worker_standing", ["person"]),
        ("store_aisle_3people", ["person"] * 3),
        ("empty_room", []),
    ],
)
def test_who_lies_is_told_from_who_stands_or_sits(labels_in, data_dir, picture, persons):
    assert labels_in(cv2.imread(str(data_dir / f"images/{picture}.jpg"))) == persons


def test_a_man_who_falls_from_a_chair_lies_from_then_on_and_not_before(labels_in, data_dir):
    lying = [
        (t, LYING in labels_in(frame)) for t, frame in frames_of_clip(data_dir / "video/fall_from_chair_s1.mp4", 4)
    ]
    assert np.mean([seen for t, seen in lying if t >= 3]) >= 0.95
    assert not any(seen for t, seen in lying if t < 1.8)


def test_a_man_who_sits_on_a_bed_never_lies(labels_in, data_dir):
    clip = frames_of_clip(data_dir / "video/nofall_sitting_on_bed_s2.mp4", 3)
    found = [labels_in(frame) for _, frame in clip]
    assert len(found) > 30
    assert not any(LYING in labels for labels in found)
    assert np.mean(["person" in labels for labels in found]) > 0.95


@pytest.mark.slow
def test_fall_detection_is_published_through_a_real_triton(data_dir, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("room_fallen_side_s1.jpg", "worker_standing.jpg"):
        (pictures / name).write_bytes((data_dir / "images" / name).read_bytes())
    model = data_dir / "models/yolox_nano_416.onnx"
    where = ["--repository", str(tmp_path / "models"), "--pictures", str(pictures), "--max-batch-size", "2"]
    arguments = ["onnx", str(model), "--name", "fall_detection", "--view", "rot90", "--json", *where]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["outcome"], result["triton"]["unmatched"]) == ("published", 0)
    manifest = json.loads((tmp_path / "models/fall_detection/1/manifest.json").read_text())
    assert manifest["options"]["labels"][-1] == LYING
    assert manifest["source"]["details"]["view"] == "rot90"
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "up to date"
