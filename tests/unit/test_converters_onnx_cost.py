"""The cost of a graph, against figures worked out by hand and those that papers print."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.onnx_cost import cost_of
from converters.onnx_file import read_onnx


def graph_of(nodes, shape, weights, out_rank):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * out_rank)],
        [numpy_helper.from_array(np.zeros(dims, dtype=np.float32), name) for name, dims in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize(
    ("node", "shape", "weight", "macs"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4), (1, 3, 8, 8), (16, 3, 3, 3), 16 * 64 * 27),
        (helper.make_node("Conv", ["x", "w"], ["y"], group=4), (1, 4, 8, 8), (4, 1, 1, 1), 4 * 64),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), (1, 4, 5, 5), (4, 6, 2, 2), 600 * 4),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), (2, 5, 7), (7, 3), 2 * 5 * 7 * 3),
        (helper.make_node("Gemm", ["x", "w"], ["y"], transA=1), (7, 5), (7, 3), 5 * 7 * 3),
    ],
)
def test_multiply_accumulates_are_counted_by_the_definition_of_each_operator(node, shape, weight, macs):
    cost = cost_of(graph_of([node], shape, {"w": weight}, len(shape)))
    assert (cost.macs, cost.parameters, cost.unknown) == (macs, np.prod(weight), 0)
    assert cost.parameter_bytes == 4 * cost.parameters


def test_a_symbolic_batch_counts_as_one_picture():
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    assert cost_of(graph_of([node], ("batch", 4), {"w": (4, 2)}, 2)).macs == 8


def test_memory_is_that_of_tensors_alive_together_not_of_all():
    chain = [helper.make_node("Relu", ["x"], ["a"]), *(helper.make_node("Relu", [f], [t]) for f, t in ("ab", "by"))]
    assert cost_of(graph_of(chain, (1000,), {}, 1)).activation_bytes == 2 * 4000
    skip = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["b", "x"], ["y"]),
    ]
    assert cost_of(graph_of(skip, (1000,), {}, 1)).activation_bytes == 3 * 4000


def test_nodes_without_inferred_shapes_are_said_to_be_left_out():
    model = graph_of([helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["y"])], (4,), {}, 1)
    del model.graph.value_info[:]
    assert cost_of(model).unknown == 1


def test_yolox_nano_costs_what_its_authors_say(data_dir):
    """YOLOX's README: nano at 416 has 0.91 M parameters and 1.08 G floating point operations, two for each of ours."""
    cost = cost_of(read_onnx(data_dir / "models/yolox_nano_416.onnx").model)
    assert cost.macs * 2 / 1e9 == pytest.approx(1.08, rel=0.1)
    assert cost.parameters / 1e6 == pytest.approx(0.91, rel=0.02)
    assert cost.unknown == 0
    assert cost.activation_bytes > 16 * 208 * 208 * 4
