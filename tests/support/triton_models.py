"""Small ONNX models whose answers show how they were run, and a repository to put them in."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET = 17


def publish(repository: Path, name: str, model: onnx.ModelProto | bytes, config: str = "") -> Path:
    """Write `<repository>/<name>/1/model.onnx` and, unless empty, its `config.pbtxt`; returns the model file."""
    path = repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    if config:
        (repository / name / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}')
    return path


def census(batch: int | str = "n", width: int | str = "w") -> onnx.ModelProto:
    """FP32 `x [batch, width]` → `rows` INT64 `[batch, 1]`: how many rows its run had; `double`: x doubled."""
    nodes = [
        helper.make_node("Shape", ["x"], ["length"], start=0, end=1),
        helper.make_node("Concat", ["length", "one"], ["shape"], axis=0),
        helper.make_node("Expand", ["length", "shape"], ["rows"]),
        helper.make_node("Add", ["x", "x"], ["double"]),
    ]
    return model_of(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, width])],
        [
            helper.make_tensor_value_info("rows", TensorProto.INT64, [batch, 1]),
            helper.make_tensor_value_info("double", TensorProto.FLOAT, [batch, width]),
        ],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )


def lookup() -> onnx.ModelProto:
    """INT64 `index [n, 1]` → FP32 `value [n, 1]`, ten times the index from a table of four: others fail the run."""
    return model_of(
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["n", 1])],
        [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor("table", TensorProto.FLOAT, [4], [0, 10, 20, 30])],
    )


def above_zero() -> onnx.ModelProto:
    """FP32 `x [n]` → `where` INT64 `[1, k]`, where it is not zero; `most`: the maximum, a scalar."""
    return model_of(
        [
            helper.make_node("NonZero", ["x"], ["where"]),
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        ],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
        [
            helper.make_tensor_value_info("where", TensorProto.INT64, [1, "k"]),
            helper.make_tensor_value_info("most", TensorProto.FLOAT, []),
        ],
        [],
    )


def identity(element_type: int) -> onnx.ModelProto:
    """`input [n, 3]` of a type → the same as `output`."""
    return model_of(
        [helper.make_node("Identity", ["input"], ["output"])],
        [helper.make_tensor_value_info("input", element_type, ["n", 3])],
        [helper.make_tensor_value_info("output", element_type, ["n", 3])],
        [],
    )


def model_of(nodes, inputs, outputs, initializers) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


CENSUS_TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: [-1] }
output { name: "rows" data_type: TYPE_INT64 dims: [1] }
output { name: "double" data_type: TYPE_FP32 dims: [-1] }
"""
