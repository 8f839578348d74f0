"""FP16 and INT8 graphs, the frames they are judged by, and the gate."""

from dataclasses import replace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import families
from converters.agreement import agreement
from converters.calibration import MAX_FRAMES, load_calibration
from converters.errors import ModelError, UsageError
from converters.families import BuildOptions
from converters.half import HALF_SUFFIX, to_half
from converters.onnx_file import read_onnx
from converters.pictures import render_pictures
from converters.precision import in_precision
from converters.precision_options import precision_of
from converters.precision_scope import lowerable, named
from converters.precision_search import worst_first
from converters.reference import session
from converters.spec import Precision, Ranges, Target, Task
from converters.verify import at_threshold, frames_of, onnx_runner, verify
from tests.support.tiny_yolox import saved, tiny_yolox


@pytest.fixture
def built(tmp_path):
    file = read_onnx(saved(tiny_yolox(), tmp_path / "tiny.onnx"))
    return families.FAMILIES["yolox"].build(file, BuildOptions())


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, picture in zip(render_pictures().names, render_pictures().pictures, strict=True):
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


def types_of(model):
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 6)


def test_the_network_up_to_its_last_weights_may_be_lowered_and_nothing_else(built):
    model = named(built.model)
    names = lowerable(model)
    kinds = {node.op_type for node in model.graph.node if node.name in names}
    assert kinds == {"AveragePool", "Mul", "Conv"}
    assert all(name.startswith("network/") for name in names)


def test_a_half_graph_finds_the_same_with_fp32_outside_the_network(built):
    half = to_half(named(built.model), lowerable(named(built.model)))
    assert TensorProto.FLOAT16 not in {
        kind for name, kind in types_of(half).items() if name.startswith(("head", "nv12"))
    }
    frames = frames_of(render_pictures(), built.spec)
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
    options = precision_of(Precision.INT8, pictures, ranges, 0.8)
    told = []
    lowered = in_precision(built, options, target, render_pictures(), told.append)
    assert lowered.spec.precision is Precision.INT8
    assert lowered.figures["f1"] >= 0.8
    assert lowered.figures["calibration"]["frames"] == 6
    kinds = {node.op_type for node in lowered.model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "NonMaxSuppression"} <= kinds
    zero_points = [
        t for t in lowered.model.graph.initializer if t.name.startswith("network/") and "zero_point" in t.name
    ]
    if target is Target.CUDA:
        assert not any(numpy_helper.to_array(tensor).any() for tensor in zero_points)
    assert verify(lowered, render_pictures()).same_pixels.unmatched == 0


def test_a_gate_out_of_reach_is_refused_with_the_best_that_was_reached(built, pictures, monkeypatch):
    monkeypatch.setattr("converters.precision.MAX_ROUNDS", 0)
    monkeypatch.setattr("converters.agreement.MATCH_IOU", 0.9999)
    options = precision_of(Precision.INT8, pictures, Ranges.MINMAX, 1.0)
    with pytest.raises(ModelError, match=r"differs too much from fp32: F1 0\.\d+ at best, 1 wanted"):
        in_precision(built, options, Target.CPU, render_pictures(), lambda _stage: None)


def test_frames_that_show_nothing_and_a_classifier_are_refused(built, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    cv2.imwrite(str(empty / "grey.png"), np.full((64, 96, 3), 114, dtype=np.uint8))
    options = precision_of(Precision.FP16, empty, Ranges.MINMAX, None)
    blind = replace(built, spec=replace(built.spec, score_threshold=0.999))
    blind = replace(blind, model=at_threshold(built.model, 0.999))
    with pytest.raises(ModelError, match="finds 0 boxes"):
        in_precision(blind, options, Target.CPU, render_pictures(), lambda _stage: None)
    classifier = replace(built, spec=replace(built.spec, task=Task.CLASSIFY))
    with pytest.raises(UsageError, match="a classifier has none"):
        in_precision(classifier, options, Target.CPU, render_pictures(), lambda _stage: None)


def test_options_that_make_no_sense_are_refused(tmp_path):
    assert precision_of(Precision.FP32, None, Ranges.MINMAX, None) is None
    for given, said in (
        ((Precision.FP32, tmp_path, Ranges.MINMAX, None), "leave them out"),
        ((Precision.INT8, None, Ranges.MINMAX, None), "--calibration"),
        ((Precision.FP16, tmp_path, Ranges.MINMAX, 1.5), "at most 1"),
    ):
        with pytest.raises(UsageError, match=said):
            precision_of(*given)


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


def test_what_is_no_clip_is_refused(built, tmp_path):
    (tmp_path / "text.mp4").write_text("not a clip")
    for path, said in ((tmp_path / "text.mp4", "not a clip"), (tmp_path / "absent.mp4", "neither a clip nor a folder")):
        with pytest.raises(ModelError, match=said):
            load_calibration(path, built.spec)
