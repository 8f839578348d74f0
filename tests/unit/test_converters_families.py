"""Which graph is of which family, and what the user may choose."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from onnx import helper

from converters import families
from converters.errors import ModelError, UsageError
from converters.families import BuildOptions
from converters.families.description import HeadTable
from converters.onnx_file import parsed, read_onnx
from converters.pictures import render_pictures
from converters.reference import network_input
from converters.spec import Letterbox
from converters.verify import verify
from tests.support.tiny_heads import (
    INT8,
    UINT8,
    beginning_with,
    of_integers,
    rounded,
    stopping_at_six,
    tiny_classifier,
    tiny_fastestdet,
    tiny_nanodet,
    tiny_posenet,
    tiny_queries,
    tiny_retinaface,
    tiny_simcc,
    tiny_ssd,
)
from tests.support.tiny_yolos import TinyYolo
from tests.support.tiny_yolox import saved, tiny_yolox

SKETCHES = {
    "yolov8": lambda: TinyYolo().columns(),
    "fastestdet": tiny_fastestdet,
    "nanodet": tiny_nanodet,
    "detr": lambda: tiny_queries(chosen=False),
    "rtdetr": lambda: tiny_queries(chosen=True),
    "tf_detection": tiny_ssd,
    "posenet": tiny_posenet,
    "simcc": tiny_simcc,
    "retinaface": tiny_retinaface,
    "classifier": tiny_classifier,
}
GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)


@pytest.fixture
def tiny(tmp_path):
    return read_onnx(saved(tiny_yolox(), tmp_path / "tiny.onnx"))


def test_a_raw_yolox_head_is_recognised_and_says_why(data_dir):
    family, recognition = families.choose(read_onnx(data_dir / "models/yolox_nano_416.onnx"))
    assert family.name == "yolox"
    assert "3549 rows" in recognition.why
    assert "80 classes pass a Sigmoid" in recognition.why


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("yolox_nano_v5layout_416", "computed by Mul"),
        ("posenet_mbv1_257_s16_fp32", "4 outputs"),
        ("vww_person_96_float", "its input is"),
        ("fastestdet_coco_352", "its output is"),
    ],
)
def test_another_network_is_refused_with_the_families_tried_and_the_reason(data_dir, model, reason):
    with pytest.raises(ModelError, match=f"not yolox: .*{reason}") as caught:
        families.choose(read_onnx(data_dir / f"models/{model}.onnx"), "yolox")
    assert "--family" in str(caught.value)


def test_a_family_named_by_the_user_still_has_to_fit(data_dir):
    with pytest.raises(ModelError, match="not yolox"):
        families.choose(read_onnx(data_dir / "models/yolox_nano_v5layout_416.onnx"), "yolox")


def test_an_unknown_family_is_wrong_usage_and_lists_the_known_ones(tiny):
    with pytest.raises(UsageError, match="auto, yolox"):
        families.choose(tiny, "yolo99")


def test_scores_that_skip_the_sigmoid_are_not_yolox(tmp_path):
    model = tiny_yolox()
    for node in model.graph.node:
        if node.op_type == "Sigmoid":
            node.op_type = "Tanh"
    with pytest.raises(ModelError, match="Tanh"):
        families.choose(read_onnx(saved(model, tmp_path / "model.onnx")))


def test_labels_must_be_as_many_as_classes(tiny):
    with pytest.raises(ModelError, match="2 labels for 3 classes"):
        families.FAMILIES["yolox"].build(tiny, BuildOptions(labels=("a", "b")))


def test_classes_without_labels_are_numbered(tiny):
    assert families.FAMILIES["yolox"].build(tiny, BuildOptions()).spec.labels == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("threshold", [0, 1, -0.5, float("nan")])
def test_a_threshold_out_of_range_is_wrong_usage(tiny, threshold):
    with pytest.raises(UsageError, match="between 0 and 1"):
        families.FAMILIES["yolox"].build(tiny, BuildOptions(score_threshold=threshold))


def test_a_fused_model_uses_standard_operators_only(tiny):
    built = families.FAMILIES["yolox"].build(tiny, BuildOptions())
    assert {node.domain for node in built.model.graph.node} == {""}
    onnx.checker.check_model(built.model, full_check=True)


def test_building_leaves_the_file_as_it_was(tiny):
    before = tiny.model.SerializeToString(deterministic=True)
    first = families.FAMILIES["yolox"].build(tiny, BuildOptions()).model.SerializeToString(deterministic=True)
    second = families.FAMILIES["yolox"].build(tiny, BuildOptions()).model.SerializeToString(deterministic=True)
    assert tiny.model.SerializeToString(deterministic=True) == before
    assert first == second


def test_an_opset_older_than_suppression_is_raised(tmp_path):
    model = tiny_yolox()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", 9))
    model.ir_version = 4
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    file = read_onnx(saved(model, tmp_path / "old.onnx"))
    built = families.FAMILIES["yolox"].build(file, BuildOptions())
    assert built.model.opset_import[0].version == 11


def test_the_guide_lists_every_family_and_every_kind_of_head():
    guide = (Path(__file__).resolve().parents[2] / "docs" / "converting.md").read_text(encoding="utf-8")
    table = guide[guide.index("<!-- families:") : guide.index("A pose of one person")]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(families.FAMILIES)
    heads = [line.split("`")[1] for line in guide[guide.index("| `kind` |") :].splitlines()[2:11]]
    assert heads == [kind.__struct_config__.tag for kind in get_args(HeadTable)]


def read(model):
    return parsed("model.onnx", model.SerializeToString())


def test_outputs_of_free_and_of_fixed_length_are_no_hindrance():
    model = tiny_ssd(unsuppressed=True)
    kept = np.ones(5, bool)
    model.graph.initializer.append(onnx.numpy_helper.from_array(kept, "kept"))
    node = next(node for node in model.graph.node if node.output[0] == "raw_detection_scores")
    node.CopyFrom(helper.make_node("Compress", [node.input[0], "kept"], [node.output[0]], axis=2))
    model.graph.output[-1].type.tensor_type.shape.dim[2].dim_param = "unk__7"
    assert families.choose(read(model))[0].name == "tf_detection"
    del model.graph.output[:-2]
    with pytest.raises(ModelError, match="is of no family that can be converted"):
        families.choose(read(model))


@pytest.mark.parametrize("name", SKETCHES)
@pytest.mark.parametrize(("element", "lowest"), [(UINT8, 0), (INT8, -128)], ids=["uint8", "int8"])
def test_a_network_of_integers_gets_every_level_and_says_so(name, element, lowest):
    model = SKETCHES[name]()
    file = read(model if name == "tf_detection" and element == UINT8 else of_integers(model, element))
    family, recognition = families.choose(file)
    assert family.name == name
    assert "levels go in as they are, as its input is " in recognition.why
    assert "colours as" not in recognition.why
    given = replace(family.plan(file).preprocess, size=None)
    assert np.unique(network_input(GREYS, given)).tolist() == list(range(lowest, lowest + 256))
    built = family.build(file, BuildOptions())
    assert built.source.why == recognition.why
    verify(built, render_pictures())


@pytest.mark.parametrize(("keypoints", "size"), [(19, (64, 96)), (26, (64, 96)), (19, (256, 456))])
def test_affinities_of_limbs_are_not_taken_for_offsets(keypoints, size):
    model = tiny_posenet(keypoints=keypoints, beside=False, size=size, names="heat paf")
    with pytest.raises(ModelError, match=rf"not posenet: heat has {keypoints} channels .* OpenPose's limbs; .*custom"):
        families.choose(read(model))


@pytest.mark.parametrize(
    "told", [{"beside": False}, {"keypoints": 19}, {"keypoints": 19, "beside": False, "size": (65, 97)}]
)
def test_displacements_or_17_keypoints_or_odd_sides_tell_posenet(told):
    file = read(tiny_posenet(**told))
    family, _ = families.choose(file)
    assert family.name == "posenet"
    verify(family.build(file, BuildOptions()), render_pictures())


def test_nanodet_keeps_a_picture_s_sides_in_proportion_and_plus_stretches_it():
    letterboxes = []
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        spec = families.FAMILIES["nanodet"].build(read(tiny_nanodet(strides=strides)), BuildOptions()).spec
        letterboxes.append((spec.letterbox, spec.pad_luma))
    assert letterboxes == [(Letterbox.CENTER, 16), (Letterbox.STRETCH, 16)]


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("opset", [10, 13])
def test_a_nanodet_of_other_colours_has_to_be_described(joined, opset):
    model = stopping_at_six(tiny_nanodet(strides=(8, 16, 32), joined=joined), opset)
    with pytest.raises(ModelError, match=r'not nanodet: its activations stop at 6, .*kind = "distribution"'):
        families.choose(read(model))
    assert families.choose(read(stopping_at_six(tiny_nanodet(joined=True), opset)))[0].name == "nanodet"


def test_a_hard_sigmoid_in_three_operators_is_no_activation_that_stops_at_six():
    model = stopping_at_six(tiny_nanodet(strides=(8, 16, 32)), 13)
    model.graph.node[0].input[0] = "raised"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(3, np.float32), "three"))
    model.graph.node.insert(0, helper.make_node("Add", ["images", "three"], ["raised"]))
    file = read(model)
    assert families.choose(file)[0].name == "nanodet"
    verify(families.FAMILIES["nanodet"].build(file, BuildOptions()), render_pictures())


@pytest.mark.parametrize("joined", [True, False])
def test_a_nanodet_of_other_bins_is_told_how_to_describe_it(joined):
    model = tiny_nanodet(strides=(8, 16, 32), joined=joined, bins=11)
    with pytest.raises(ModelError, match=r'not nanodet: .*with other bins.*, describe it.*kind = "distribution"'):
        families.choose(read(model))


@pytest.mark.parametrize("name", [*SKETCHES, "yolox", "yolov5", "nanodet_tables"])
def test_a_quantised_network_is_of_the_family_that_it_was_before(name):
    more = {
        "yolox": lambda: tiny_yolox(opset=13),
        "yolov5": lambda: TinyYolo().anchored_rows(),
        "nanodet_tables": lambda: tiny_nanodet(strides=(8, 16, 32), joined=False),
    }
    file = read(rounded((SKETCHES | more)[name]()))
    family, _ = families.choose(file)
    assert family.name == name.removesuffix("_tables")
    onnx.checker.check_model(family.build(file, BuildOptions()).model, full_check=True)


@pytest.mark.parametrize("name", sorted(SKETCHES.keys() - {"tf_detection"}))
def test_a_network_of_floats_gets_what_its_family_is_trained_on(name):
    recognition = families.recognise(read(SKETCHES[name]()), name)[name]
    assert recognition.fits
    assert "levels go in" not in recognition.why


def test_a_retinaface_that_takes_its_means_away_itself_gets_levels_and_says_so():
    file = read(beginning_with(tiny_retinaface(), ("Sub", np.array([104, 117, 123]).reshape(1, 3, 1, 1), {})))
    family, recognition = families.choose(file)
    assert family.plan(file).preprocess.plain
    assert "levels go in as they are, as its graph scales them itself, beginning with Sub of 104" in recognition.why
    verify(family.build(file, BuildOptions()), render_pictures())


@pytest.mark.parametrize(("element", "first"), [(UINT8, 1), (INT8, 0)])
def test_a_suppressed_detector_says_which_number_its_first_class_has(element, first):
    file = read(tiny_ssd() if element == UINT8 else of_integers(tiny_ssd(), element))
    recognition = families.recognise(file, "tf_detection")["tf_detection"]
    assert f"detection_classes, whose first class is taken to be {first}; levels" in recognition.why
