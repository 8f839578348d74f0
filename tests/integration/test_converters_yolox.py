"""The fused YOLOX-nano against the original decoded by hand, on every photograph, at every index of a batch."""

import json

import numpy as np
import pytest

from converters import families
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.parity import Judge
from converters.pictures import load_pictures, nv12_of, on_canvas
from converters.reference import iou
from converters.spec import Tolerance
from converters.verify import at_threshold, frames_of, onnx_runner, verify


@pytest.fixture(scope="module")
def built(data_dir):
    file = read_onnx(data_dir / "models/yolox_nano_416.onnx")
    return families.FAMILIES["yolox"].build(file, BuildOptions())


@pytest.fixture(scope="module")
def photographs(data_dir):
    return load_pictures(data_dir / "images")


@pytest.fixture(scope="module", params=[0.3, 0.05])
def judged(built, photographs, request):
    """The photographs' frames, the reference's rows for each, what runs the graph, and who compares."""
    frames = frames_of(photographs, built.spec)
    run = onnx_runner(at_threshold(built.model, request.param).SerializeToString())
    judge = Judge(built.spec, Tolerance(box_px=1e-3, score=1e-3), request.param)
    return frames, built.reference(frames, request.param), run, judge


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_the_same_pixels_give_the_same_rows_at_every_index(judged, batch):
    frames, expected, run, judge = judged
    total = 0
    for start in range(len(frames)):
        members = [(start + offset) % len(frames) for offset in range(batch)]
        difference = judge.compare([expected[member] for member in members], run(frames[members]))
        assert difference.within(judge.tolerance), (members, str(difference))
        total += difference.rows
    assert total >= batch * 12


def test_the_same_objects_are_found_as_from_pictures_that_kept_their_colours(built, photographs):
    parity = verify(built, photographs)
    assert parity.from_rgb is not None
    assert parity.from_rgb.rows == 12
    assert parity.from_rgb.unmatched == 0


def test_sure_objects_lie_within_a_pixel_and_a_hundredth_of_what_an_original_fed_rgb_finds(built, photographs):
    sure, judge = 0.39, Judge(built.spec, Tolerance(box_px=1.0, score=0.01), 0.39)
    canvases = np.stack([on_canvas(picture, built.spec) for picture in photographs.pictures])
    run = onnx_runner(at_threshold(built.model, sure).SerializeToString())
    difference = judge.compare(built.picture_reference(canvases, sure), run(frames_of(photographs, built.spec)))
    assert difference.rows == 10
    assert difference.within(judge.tolerance), str(difference)


def test_objects_of_a_decoder_by_other_hands_are_found(built, photographs, data_dir):
    theirs = json.loads((data_dir / "reference_outputs.json").read_text())["yolox_nano_416"]["results"]
    rows = onnx_runner(built.model.SerializeToString())(frames_of(photographs, built.spec))
    for name, picture, found in zip(photographs.names, photographs.pictures, rows, strict=True):
        scale = min(416 / picture.shape[0], 416 / picture.shape[1])
        assert len(found) == len(theirs[name])
        for wanted in theirs[name]:
            box = np.array(wanted["box"], dtype=np.float32) * scale
            near = found[iou(box, found[:, :4]) > 0.8]
            labels = [built.spec.labels[int(row[5])] for row in near]
            assert wanted["label"] in labels
            assert np.abs(near[:, 4] - wanted["score"]).min() < 0.08


def test_the_clip_holds_two_visits_at_any_threshold_around_the_default(built, data_dir):
    """Every tenth frame (1 s): a person inside the visits, none in the empty stretches."""
    av = pytest.importorskip("av")
    run = onnx_runner(at_threshold(built.model, 0.15).SerializeToString())
    best: dict[float, float] = {}
    with av.open(str(data_dir / "video/people_one_by_one_50s.mp4")) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index % 10 == 0:
                canvas = on_canvas(frame.to_ndarray(format="bgr24"), built.spec)
                (rows,) = run(nv12_of(canvas)[None])
                best[index / 10] = max(rows[rows[:, 5] == 0, 4], default=0.0)
    empty = [score for t, score in best.items() if t < 5.5 or 20.5 < t < 22 or t > 45.5]
    inside = [score for t, score in best.items() if 7 < t < 19 or 23.5 < t < 44]
    assert max(empty) < 0.15
    assert np.mean(np.array(inside) > 0.5) > 0.95
