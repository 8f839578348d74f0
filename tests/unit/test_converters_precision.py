"""FP16 and INT8 graphs, the frames they are judged by, and the gate."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import families
from converters.agreement import agreement
from converters.bias_correction import BiasCorrection
from converters.calibration import MAX_FRAMES, load_calibration
from converters.errors import ModelError, UsageError
from converters.families import BuildOptions
from converters.half import HALF_SUFFIX, to_half
from converters.int8 import int8_rounding
from converters.onnx_file import read_onnx
from converters.pictures import nv12_of, on_canvas, render_pictures
from converters.precision import in_precision
from converters.precision_gate import Gate
from converters.precision_options import Asked, precision_of
from converters.precision_scope import lowerable, named, quantisable
from converters.precision_search import exposing, worst_first
from converters.reference import session
from converters.spec import Precision, Ranges, Target, Task
from converters.verify import at_threshold, frames_of, onnx_runner, verify
from tests.support.tiny_yolox import saved, tiny_yolox

PICTURES = render_pictures()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    file = read_onnx(saved(tiny_yolox(depth=2), tmp_path_factory.mktemp("model") / "tiny.onnx"))
    return families.FAMILIES["yolox"].build(file, BuildOptions())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for name, picture in zip(PICTURES.names, PICTURES.pictures, strict=True):
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


def types_of(model):
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def types_of_dequantised(model):
    read = {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return {kind for name, kind in types_of(model).items() if name in read}


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 6)


def test_the_network_up_to_its_last_weights_may_be_lowered_and_nothing_else(built):
    model = named(built.model)
    names = lowerable(model)
    kinds = {node.op_type for node in model.graph.node if node.name in names}
    assert kinds == {"AveragePool", "Mul", "Conv", "Relu"}
    assert all(name.startswith("network/") for name in names)


def convolutions(*groups):
    """A chain of convolutions of eight channels, each followed by a Relu, and a Sigmoid at the end."""
    rng = np.random.default_rng(1)
    nodes, weights, last = [], [], "network/x"
    for index, group in enumerate(groups):
        kernel = rng.normal(size=(8, 8 // group, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"w{index}"))
        nodes.append(helper.make_node("Conv", [last, f"w{index}"], [f"network/c{index}"], group=group))
        last = f"network/r{index}"
        nodes.append(helper.make_node("Relu", [f"network/c{index}"], [last]))
    nodes.append(helper.make_node("Sigmoid", [last], ["network/y"]))
    value = helper.make_tensor_value_info
    ends = [[value(name, TensorProto.FLOAT, [1, 8, 4, 4])] for name in ("network/x", "network/y")]
    graph = helper.make_graph(nodes, "g", *ends, weights)
    return named(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))


def test_int8_leaves_out_the_first_and_the_last_convolution_and_the_depthwise_ones():
    assert quantisable(convolutions(1, 1, 8, 2, 1, 1)) == ["network/c1", "network/c3", "network/c4"]
    assert quantisable(convolutions(1, 1)) == []


def test_a_half_graph_finds_the_same_with_fp32_outside_the_network(built):
    half = to_half(named(built.model), lowerable(named(built.model)))
    assert TensorProto.FLOAT16 not in {
        kind for name, kind in types_of(half).items() if name.startswith(("head", "nv12"))
    }
    frames = frames_of(PICTURES, built.spec)
    expected, found = (onnx_runner(model.SerializeToString())(frames) for model in (built.model, half))
    assert agreement(expected, found).f1 > 0.95
    assert built.model.SerializeToString() != half.SerializeToString()


def chain(*nodes, weight=2.0):
    """A graph x → y of nodes over FLOAT [2] and a weight w."""
    value = helper.make_tensor_value_info
    weights = [numpy_helper.from_array(np.full(2, weight, dtype=np.float32), "w")]
    graph = helper.make_graph(
        list(nodes), "g", [value("x", TensorProto.FLOAT, [2])], [value("y", TensorProto.FLOAT, [2])], weights
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_casts_stand_only_where_precisions_meet_and_outputs_keep_their_names():
    model = chain(
        helper.make_node("Mul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Add", ["a", "w"], ["b"], name="second"),
        helper.make_node("Sub", ["b", "x"], ["y"], name="third"),
    )
    half = to_half(model, {"first", "second"})
    assert [node.op_type for node in half.graph.node] == ["Cast", "Mul", "Add", "Cast", "Sub"]
    assert types_of(half) == {f"w{HALF_SUFFIX}": TensorProto.FLOAT16}
    (found,) = session(half.SerializeToString()).run(["y"], {"x": np.array([1, 3], dtype=np.float32)})
    np.testing.assert_array_equal(found, [3, 5])


def test_a_weight_that_half_can_not_hold_keeps_its_operator_in_fp32():
    model = chain(helper.make_node("Mul", ["x", "w"], ["y"], name="only"), weight=1e5)
    half = to_half(model, {"only"})
    assert [node.op_type for node in half.graph.node] == ["Mul"]
    assert types_of(half) == {"w": TensorProto.FLOAT}


def test_the_operator_that_adds_the_noise_is_named_first():
    model = chain(
        helper.make_node("Mul", ["frames", "w"], ["a"], name="innocent"),
        helper.make_node("Add", ["a", "w"], ["b"], name="culprit"),
        helper.make_node("Mul", ["b", "w"], ["y"], name="heir"),
    )
    model.graph.input[0].name = "frames"
    model.graph.input[0].type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
    wrong = onnx.ModelProto()
    wrong.CopyFrom(model)
    wrong.graph.node[1].op_type = "Sub"
    frames = np.array([[1, 3]], dtype=np.float32)
    assert worst_first(model, wrong, ["innocent", "culprit", "heir"], frames)[0] == "culprit"


def test_a_bias_makes_up_for_what_rounded_weights_shift_on_average():
    model = convolutions(2, 8)
    model.graph.node.insert(0, helper.make_node("Identity", ["frames"], ["network/x"], name="network/in"))
    model.graph.input[0].name = "frames"
    frames = np.random.default_rng(2).uniform(0, 4, (8, 8, 4, 4)).astype(np.float32)
    corrected = BiasCorrection(model, frames)(model, {"network/c0", "network/c1"}, int8_rounding)

    def mean_of_first(changed, rounding):
        rounded = onnx.ModelProto()
        rounded.CopyFrom(changed)
        weights = next(tensor for tensor in rounded.graph.initializer if tensor.name == "w0")
        weights.CopyFrom(numpy_helper.from_array(rounding(numpy_helper.to_array(weights)), "w0"))
        run = session(exposing(rounded, ["network/c0"]).SerializeToString())
        return np.mean([run.run(["network/c0"], {"frames": one[None]})[0] for one in frames], axis=(0, 1, 3, 4))

    exact = mean_of_first(model, lambda weights: weights)
    assert np.abs(mean_of_first(model, int8_rounding) - exact).max() > 1e-3
    np.testing.assert_allclose(mean_of_first(corrected, int8_rounding), exact, atol=1e-5)


def test_agreement_counts_boxes_of_one_class_once():
    wanted = rows([0, 0, 10, 10, 0.9, 0], [40, 40, 50, 50, 0.8, 1])
    found = rows([0, 0, 10, 9, 0.8, 0], [0, 0, 10, 10, 0.7, 0], [40, 40, 50, 50, 0.8, 0])
    result = agreement([wanted], [found])
    assert (result.matched, result.missed, result.extra, result.f1) == (1, 1, 2, 0.4)
    assert agreement([rows()], [rows()]).f1 == 1


@pytest.mark.parametrize(
    ("ranges", "target"), [(Ranges.MINMAX, Target.CPU), (Ranges.PERCENTILE, Target.CPU), (Ranges.ENTROPY, Target.CUDA)]
)
def test_int8_passes_its_gate_keeps_what_it_must_and_is_verified(built, pictures, ranges, target):
    options = precision_of(Precision.INT8, Asked(calibration=pictures, ranges=ranges, min_f1=0.95))
    told = []
    lowered = in_precision(built, options, target, PICTURES, told.append)
    assert lowered.spec.precision is Precision.INT8
    assert lowered.figures["f1"] >= 0.95
    assert lowered.figures["calibration"]["frames"] == 6
    kinds = {node.op_type for node in lowered.model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "NonMaxSuppression"} <= kinds
    zero_points = [
        t for t in lowered.model.graph.initializer if t.name.startswith("network/") and "zero_point" in t.name
    ]
    if target is Target.CUDA:
        assert not any(numpy_helper.to_array(tensor).any() for tensor in zero_points)
        assert TensorProto.INT32 not in types_of_dequantised(lowered.model)
    assert verify(lowered, PICTURES).same_pixels.unmatched == 0


def test_a_gate_out_of_reach_is_refused_with_the_best_that_was_reached(built, pictures):
    options = precision_of(Precision.INT8, Asked(calibration=pictures, min_f1=1.0))
    told = []
    with pytest.raises(ModelError, match=r"F1 0\.9\d+ .* at best, F1 1 wanted, with up to 4 operators kept"):
        in_precision(built, options, Target.CPU, PICTURES, told.append)
    begun_and_judged = [f"round {index}" for index in range(5) for _ in range(2)]
    assert [stage.partition(":")[0] for stage in told[3:]] == begun_and_judged


def test_frames_that_show_nothing_and_a_classifier_are_refused(built, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    cv2.imwrite(str(empty / "grey.png"), np.full((64, 96, 3), 114, dtype=np.uint8))
    options = precision_of(Precision.FP16, Asked(calibration=empty))
    blind = replace(built, spec=replace(built.spec, score_threshold=0.999))
    blind = replace(blind, model=at_threshold(built.model, 0.999))
    with pytest.raises(ModelError, match="finds 0 boxes"):
        in_precision(blind, options, Target.CPU, PICTURES, lambda _stage: None)
    classifier = replace(built, spec=replace(built.spec, task=Task.CLASSIFY))
    with pytest.raises(UsageError, match="a classifier has none"):
        in_precision(classifier, options, Target.CPU, PICTURES, lambda _stage: None)


@pytest.mark.parametrize(
    ("precision", "asked", "said"),
    [
        (Precision.FP32, {"calibration": Path()}, "--calibration: for --precision fp16 or int8 alone"),
        (Precision.FP32, {"ranges": Ranges.ENTROPY, "max_map_loss": 0.1}, "--max-map-loss, --ranges: for"),
        (Precision.INT8, {}, "--calibration"),
        (Precision.FP16, {"calibration": Path(), "min_f1": 1.5}, "at most 1"),
        (Precision.FP16, {"calibration": Path(), "ranges": Ranges.ENTROPY}, "fp16 has none"),
        (Precision.FP16, {"calibration": Path(), "max_map_loss": 0.1}, "needs ground truth"),
        (Precision.FP16, {"images": Path()}, "ground truth is two things"),
    ],
)
def test_options_that_make_no_sense_are_refused(precision, asked, said):
    with pytest.raises(UsageError, match=said):
        precision_of(precision, Asked(**asked))


def test_fp32_is_not_judged():
    assert precision_of(Precision.FP32, Asked()) is None


@pytest.fixture(scope="module")
def truth(built, pictures):
    """What the FP32 graph finds in the pictures, as COCO's JSON: its own mAP on it is all but 1."""
    run = onnx_runner(built.model.SerializeToString())
    images, annotations = [], []
    for path in sorted(pictures.glob("*.png")):
        picture = cv2.imread(str(path))
        rows_found = run(nv12_of(on_canvas(picture, built.spec))[None])[0]
        scale = max(picture.shape[0] / built.spec.height, picture.shape[1] / built.spec.width)
        images.append({"id": len(images), "file_name": path.name})
        corners = np.clip(rows_found[:, :4] * scale, 0, picture.shape[1::-1] * 2)
        for (x1, y1, x2, y2), kind in zip(corners.tolist(), rows_found[:, 5].tolist(), strict=True):
            box = {"image_id": images[-1]["id"], "category_id": int(kind), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            if x1 < x2 and y1 < y2:  # some lie in the padding alone
                annotations.append({"id": len(annotations), **box})
    categories = [{"id": index, "name": label} for index, label in enumerate(built.spec.labels)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def truth_file(truth, tmp_path):
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(truth))
    return path


def test_given_ground_truth_the_loss_of_map_is_judged_and_f1_only_told(built, pictures, truth_file):
    asked = Asked(annotations=truth_file, images=pictures, max_map_loss=0.2)
    options = precision_of(Precision.INT8, asked)
    assert (options.calibration, options.min_f1) == (pictures, None)
    figures = in_precision(built, options, Target.CPU, PICTURES, lambda _stage: None).figures
    assert figures["map_fp32"] > 0.9
    assert figures["map_loss"] == pytest.approx(figures["map_fp32"] - figures["map"])
    assert figures["map_loss"] <= figures["max_map_loss"] == 0.2
    assert figures["ground_truth"]["pictures"] == 6
    assert "min_f1" not in figures
    assert 0 < figures["f1"] <= 1


def test_a_graph_that_loses_more_map_than_allowed_fails_whatever_its_f1(built, pictures, truth_file):
    options = precision_of(Precision.FP16, Asked(annotations=truth_file, images=pictures, min_f1=0.01))
    gate = Gate(built.model, built.spec, load_calibration(pictures, built.spec).frames, options, lambda _stage: None)
    same, worse = gate.judge(built.model), gate.judge(at_threshold(built.model, 0.6))
    assert (same.passed, same.map_loss, same.agreement.f1) == (True, 0, 1)
    assert not worse.passed
    assert worse.map_loss > 0.005
    assert worse.margin == pytest.approx(0.005 - worse.map_loss)
    assert "loses" in str(worse)


def test_ground_truth_of_other_pictures_is_refused(built, pictures, truth, tmp_path):
    elsewhere = tmp_path / "elsewhere.json"
    boxes = [{**annotation, "bbox": [0, 0, 1, 1]} for annotation in truth["annotations"]]
    elsewhere.write_text(json.dumps({**truth, "annotations": boxes}))
    options = precision_of(Precision.FP16, Asked(annotations=elsewhere, images=pictures))
    with pytest.raises(ModelError, match="finds nothing of the ground truth"):
        in_precision(built, options, Target.CPU, PICTURES, lambda _stage: None)


def test_a_clip_gives_frames_from_its_whole_length_and_always_the_same(built, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (96, 64))
    for level in range(100):
        writer.write(np.full((64, 96, 3), level * 2, dtype=np.uint8))
    writer.release()
    taken = load_calibration(path, built.spec)
    assert taken.frames.shape == (MAX_FRAMES, 96, 96)
    means = taken.frames[:, :64].mean(axis=(1, 2))
    assert (np.diff(means) > 0).all()
    assert means[-1] - means[0] > 150
    assert load_calibration(path, built.spec).sha256 == taken.sha256


def test_a_folder_gives_pictures_from_its_whole_length_as_many_as_a_clip(built, tmp_path):
    for level in range(100):
        cv2.imwrite(str(tmp_path / f"{level:03}.png"), np.full((64, 96, 3), level * 2, dtype=np.uint8))
    taken = load_calibration(tmp_path, built.spec)
    assert taken.frames.shape == (MAX_FRAMES, 96, 96)
    means = taken.frames[:, :64].mean(axis=(1, 2))
    assert (np.diff(means) > 0).all()
    assert means[-1] - means[0] > 150


def test_what_is_no_clip_is_refused(built, tmp_path):
    (tmp_path / "text.mp4").write_text("not a clip")
    for path, said in ((tmp_path / "text.mp4", "not a clip"), (tmp_path / "absent.mp4", "neither a clip nor a folder")):
        with pytest.raises(ModelError, match=said):
            load_calibration(path, built.spec)
