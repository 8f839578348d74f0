"""Networks of any size that ask for memory by the size of their input, or for a size that is none."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.cli import main
from converters.errors import ModelError
from converters.families.picture_size import at_size
from converters.onnx_file import read_onnx


def growing(path, *, power, dtype=TensorProto.FLOAT, imgsz=""):
    """Write a network of `[n, 3, h, w]` that fills a tensor of h to the power of `power` elements; return its path."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "two"], ["h"], axis=0),
        helper.make_node("Concat", ["h"] * power, ["sizes"], axis=0),
        helper.make_node("ConstantOfShape", ["sizes"], ["filled"]),
        helper.make_node("ReduceMax", ["filled"], ["most"], keepdims=0),
        helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["floats", "most"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "growing",
        [helper.make_tensor_value_info("x", dtype, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [numpy_helper.from_array(np.array([2], dtype=np.int64), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if imgsz:
        model.metadata_props.add(key="imgsz", value=imgsz)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("imgsz", ["[1000000000, 1000000000]", "[1, 8193]", "[4096, 4096]", str(10**40)])
def test_a_size_out_of_metadata_that_no_picture_has_is_refused_by_name(tmp_path, capsys, imgsz):
    path = growing(tmp_path / "model.onnx", power=1, imgsz=imgsz)
    assert main(["inspect", str(path), "--json"]) == 1
    assert "choose another --size" in json.loads(capsys.readouterr().out)["error"]


def test_a_network_is_run_at_its_size_where_it_can_take_no_more_memory_than_any_model(tmp_path):
    file = read_onnx(growing(tmp_path / "model.onnx", power=4))
    assert at_size(file, (48, 64)).outputs[0].shape == ("n", 3, 48, 64)
    with pytest.raises(ModelError, match=r"can't be run on x FLOAT \[n, 3, 640, 640\] \(.*\); choose another --size"):
        at_size(file, (640, 640))


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.UINT16])
def test_free_axes_and_rare_types_spare_no_model_its_first_run(tmp_path, dtype):
    with pytest.raises(ModelError, match=r"on one picture|needs more than"):
        read_onnx(growing(tmp_path / "model.onnx", power=6, dtype=dtype))
