"""FastestDet, PoseNet and a classifier as they are published elsewhere: recognised, fused, compared, served."""

import json

import cv2
import numpy as np
import pytest

from converters import families
from converters.cli import main
from converters.families import BuildOptions
from converters.families.coco import COCO_80
from converters.onnx_file import read_onnx
from converters.parity import Judge
from converters.pictures import load_pictures
from converters.reference import Original, iou
from converters.verify import at_threshold, frames_of, onnx_runner

FILES = {
    "fastestdet": "fastestdet_coco_352",
    "posenet": "posenet_mbv1_257_s16_fp32",
    "classifier": "vww_person_96_float",
}
OLDER_VOC_NAMES = {"tvmonitor": "tv", "sofa": "couch", "pottedplant": "potted plant", "diningtable": "dining table"}


@pytest.fixture(scope="module")
def photographs(data_dir):
    return load_pictures(data_dir / "images")


@pytest.fixture(scope="module")
def theirs(data_dir):
    return json.loads((data_dir / "reference_outputs.json").read_text())


@pytest.fixture(scope="module")
def built(data_dir):
    made = {}
    for name, file in FILES.items():
        family, _ = families.choose(read_onnx(data_dir / f"models/{file}.onnx"))
        assert family.name == name
        made[name] = family.build(read_onnx(data_dir / f"models/{file}.onnx"), BuildOptions())
    return made


@pytest.fixture(scope="module")
def judged(built, photographs):
    """For each family: the photographs' frames, the rows of its reference, what runs the graph, who compares."""
    threshold, made = 0.1, {}
    for name, model in built.items():
        frames = frames_of(photographs, model.spec)
        run = onnx_runner(at_threshold(model.model, threshold).SerializeToString())
        judge = Judge(model.spec, model.tolerance, threshold)
        made[name] = frames, model.reference(frames, threshold), run, judge
    return made


@pytest.mark.parametrize("family", FILES)
@pytest.mark.parametrize("batch", range(1, 9))
def test_the_same_pixels_give_the_same_rows_at_every_index(judged, family, batch):
    frames, expected, run, judge = judged[family]
    starts = range(len(frames)) if batch in (2, 3) else range(0, len(frames), batch)
    for start in starts:
        members = [(start + offset) % len(frames) for offset in range(batch)]
        difference = judge.compare([expected[member] for member in members], run(frames[members]))
        assert difference.within(judge.tolerance), (members, str(difference))


def decoded_alone(file, picture, interpolation):
    """Return what the reference's decoder reads from the original, fed a picture at exactly the network's size."""
    family, _ = families.choose(file)
    plan = family.plan(file)
    size = (plan.picture.width, plan.picture.height)
    return plan.head.decode(
        next(Original(file.data, plan.preprocess).outputs([cv2.resize(picture, size, None, 0, 0, interpolation)]))
    )


def test_fastestdet_s_decoder_finds_what_one_by_other_hands_finds(data_dir, photographs, theirs):
    file = read_onnx(data_dir / f"models/{FILES['fastestdet']}.onnx")
    for name, picture in zip(photographs.names, photographs.pictures, strict=True):
        found = decoded_alone(file, picture, cv2.INTER_AREA)
        stretch = np.array([352 / picture.shape[1], 352 / picture.shape[0]] * 2, dtype=np.float32)
        for wanted in theirs[FILES["fastestdet"]]["results"][name]:
            near = iou(np.array(wanted["box"], dtype=np.float32) * stretch, found.boxes) > 0.98
            labels = [COCO_80[index] for index in found.classes[near]]
            assert OLDER_VOC_NAMES.get(wanted["label"], wanted["label"]) in labels
            assert np.abs(found.scores[near] - wanted["score"]).min() < 0.001


def test_posenet_s_decoder_finds_the_keypoints_of_one_by_other_hands(data_dir, photographs, theirs):
    file = read_onnx(data_dir / f"models/{FILES['posenet']}.onnx")
    for name, picture in zip(photographs.names, photographs.pictures, strict=True):
        wanted = theirs[FILES["posenet"]]["results"][name]
        found = decoded_alone(file, picture, cv2.INTER_LINEAR)
        pixels = np.array([picture.shape[1] / 257, picture.shape[0] / 257, 1])
        assert found.scores[0] == pytest.approx(wanted["mean_score"], abs=0.001)
        keypoints = found.extras.reshape(-1, 3) * pixels
        assert np.allclose(keypoints, list(wanted["keypoints"].values()), atol=[0.1, 0.1, 0.001])


def test_a_pose_s_box_bounds_its_sure_keypoints(built, photographs):
    model = built["posenet"]
    rows = onnx_runner(model.model.SerializeToString())(frames_of(photographs, model.spec))
    for (row,) in (found for found in rows if len(found)):
        keypoints = row[6:].reshape(-1, 3)
        sure = keypoints[keypoints[:, 2] >= 0.3]
        assert np.allclose(row[:4], [*sure[:, :2].min(axis=0), *sure[:, :2].max(axis=0)], atol=1e-4)
    assert sum(map(len, rows)) == 6


def test_a_classifier_s_decoder_says_what_one_by_other_hands_says(data_dir, photographs, theirs):
    file = read_onnx(data_dir / f"models/{FILES['classifier']}.onnx")
    for name, picture in zip(photographs.names, photographs.pictures, strict=True):
        wanted = theirs[FILES["classifier"]]["results"][name]
        found = decoded_alone(file, picture, cv2.INTER_AREA)
        assert found == pytest.approx([wanted["no_person"], wanted["person"]], abs=0.001)


@pytest.mark.parametrize("family", ["fastestdet", "classifier", pytest.param("posenet", marks=pytest.mark.slow)])
def test_a_file_is_published_with_no_option_but_a_name_and_answers_in_a_real_triton(
    family, data_dir, tmp_path, capsys, photographs
):
    model = data_dir / f"models/{FILES[family]}.onnx"
    arguments = ["onnx", str(model), "--name", family, "--repository", str(tmp_path), "--json"]
    assert main([*arguments, "--pictures", str(data_dir / "images")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["family"] == family
    assert answer["triton"]["unmatched"] == 0
    assert answer["triton"]["rows"] >= len(photographs.names)
