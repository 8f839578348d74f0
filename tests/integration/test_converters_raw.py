"""Models that nothing decodes, published for direct calls."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.cli import main as convert
from converters.errors import ModelError
from converters.onnx_file import parsed
from converters.raw import difference, raw_model, run_raw, seeded_inputs
from tests.support.triton_server import running_triton


def network(batch=1, *, couples=False, dtype=TensorProto.FLOAT, free=False):
    """`[batch, 4, 6]` in, `[batch, 24]` and `[batch, 24]` out; `couples` adds the sum over the batch to each."""
    shape = helper.make_node("Reshape", ["x", "shape"], ["flat"])
    twice = helper.make_node("Add", ["flat", "flat"], ["twice"])
    total = helper.make_node("ReduceSum", ["twice", "axes"], ["total"], keepdims=1)
    end = ("Add", ["twice", "total"]) if couples else ("Abs", ["twice"])
    lead = batch if isinstance(batch, int) else 0
    weights = [numpy_helper.from_array(np.array([lead, 24], dtype=np.int64), "shape")]
    nodes = [shape, twice, *([total] if couples else []), helper.make_node(*end, ["y"])]
    if couples:
        weights.append(numpy_helper.from_array(np.array([0], dtype=np.int64), "axes"))
    graph = helper.make_graph(
        nodes,
        "raw",
        [helper.make_tensor_value_info("x", dtype, [batch, 4, "n" if free else 6])],
        [helper.make_tensor_value_info(name, dtype, [batch, 24]) for name in ("y", "flat")],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def raw(model):
    return raw_model(parsed("raw.onnx", model.SerializeToString()))


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_batch_that_gives_each_index_its_own_answer_is_made_dynamic(batch):
    model = raw(network(batch))
    assert model.batched
    assert run_raw(model, seeded_inputs(model, 5))["y"].shape == (5, 24)


@pytest.mark.parametrize("changes", [{"couples": True}, {"batch": 2}])
def test_a_batch_that_can_not_be_shown_to_work_is_left_out(changes):
    model = raw(network(**changes))
    assert not model.batched


def test_a_model_that_can_not_be_run_is_refused_with_the_shapes_tried():
    with pytest.raises(ModelError, match=r"can't be run on x \[1, 4, 64\]"):
        raw(network(free=True))


def test_values_that_differ_count_as_unmatched():
    one = {"y": np.float32([1, np.nan, np.inf])}
    assert difference(one, one).unmatched == 0
    assert difference(one, {"y": np.float32([1, 0, np.inf])}).unmatched == 1
    assert difference(one, {"y": np.float32([1.1, np.nan, np.inf])}).unmatched == 1
    assert difference(one, {"y": np.float32([1])}).unmatched == 1


def test_an_undecoded_model_is_published_listed_verified_and_linted_outside_the_contract(tmp_path, capsys):
    onnx.save(network(), tmp_path / "raw.onnx")
    models = str(tmp_path / "models")
    command = ["onnx", str(tmp_path / "raw.onnx"), "--name", "plain", "--repository", models, "--json"]
    assert convert(command) == 1
    assert "--task raw" in json.loads(capsys.readouterr().out)["error"]
    assert convert([*command, "--task", "raw"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["outcome"], answer["family"], answer["triton"]["unmatched"]) == ("published", "raw", 0)
    config = (tmp_path / "models/plain/config.pbtxt").read_text()
    assert "ruth.contract" not in config
    assert "max_batch_size: 8" in config
    assert convert([*command, "--task", "raw"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "up to date"
    assert convert(["list", "--repository", models]) == 0
    assert "outside the contract" in capsys.readouterr().out
    assert convert(["verify", "plain", "--repository", models]) == 0
    assert convert(["lint", models]) == 0


def test_options_of_decoding_are_wrong_usage_for_an_undecoded_model(tmp_path, capsys):
    assert convert(["onnx", "x.onnx", "--name", "x", "--task", "raw", "--nms-iou", "0.5"]) == 2
    assert "--nms-iou" in capsys.readouterr().err


def test_a_model_without_a_batch_says_so_itself_and_is_none_to_build_plans_of(tmp_path, capsys):
    onnx.save(network(batch=2), tmp_path / "raw.onnx")
    models = str(tmp_path / "models")
    command = ["onnx", str(tmp_path / "raw.onnx"), "--name", "plain", "--repository", models, "--json"]
    assert convert([*command, "--task", "raw"]) == 0
    assert (tmp_path / "models/plain/config.pbtxt").read_text().count("max_batch_size: 0\n") == 1
    assert convert([*command, "--task", "raw"]) == 0
    capsys.readouterr()
    assert convert(["lint", models, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["findings"] == []
    assert convert(["tensorrt", "plain", "--repository", models, "--json"]) == 1
    assert "outside the model contract" in json.loads(capsys.readouterr().out)["error"]


def pyramid():
    """Halves a picture of any size, doubles it again and puts both together: runs where the sides are even."""
    nodes = [
        helper.make_node("MaxPool", ["x"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "scales"], ["again"], mode="nearest"),
        helper.make_node("Concat", ["x", "again"], ["y"], axis=1),
    ]
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "scales")
    tensors = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", depth, "h", "w"])]
        for name, depth in (("x", 3), ("y", 6))
    ]
    graph = helper.make_graph(nodes, "pyramid", *tensors, [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


@pytest.mark.slow
def test_a_running_triton_is_asked_what_a_network_of_any_size_can_answer(tmp_path, capsys):
    onnx.save(pyramid(), tmp_path / "pyramid.onnx")
    (tmp_path / "models").mkdir()
    with running_triton(tmp_path / "models", load=[], model_control="explicit", no_auto_complete=True) as triton:
        command = ["onnx", str(tmp_path / "pyramid.onnx"), "--name", "pyramid", "--task", "raw", "--json"]
        status = convert([*command, "--repository", str(tmp_path / "models"), "--server", triton.grpc_url])
    result = json.loads(capsys.readouterr().out)
    assert (status, result.get("outcome")) == (0, "published"), result
