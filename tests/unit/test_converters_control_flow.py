"""Networks with a graph inside a node, as exporters write `if` and `for`: fused, and the same as before."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import families
from converters.families import BuildOptions
from converters.onnx_file import onnx_of
from converters.pictures import render_pictures
from converters.verify import verify

SIDE, CLASSES = 32, 5
ONE = np.array(1, dtype=np.float32)
BRANCH = ["n", 3, SIDE, SIDE]


def graph_of(nodes, output, shape=None, weights=()):
    inner = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    tensors = [numpy_helper.from_array(value, name) for name, value in dict(weights).items()]
    return helper.make_graph(nodes, output, [], [inner], tensors)


def condition(then):
    otherwise = graph_of([helper.make_node("Identity", ["relu"], ["other"])], "other", BRANCH)
    return helper.make_node("If", ["true"], ["chosen"], then_branch=then, else_branch=otherwise)


def repeated(tensor, weight, out):
    """Add a weight of an outer graph twice."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Add", ["value", weight], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["twice", "true", tensor], [out], body=body)


def added(weight):
    return [helper.make_node("Add", ["relu", weight], ["sum"])]


CASES = {
    "an outer weight": [condition(graph_of(added("one"), "sum", BRANCH))],
    "a weight of its own": [condition(graph_of(added("mine"), "sum", BRANCH, {"mine": ONE}))],
    "an outer constant": [
        helper.make_node("Constant", [], ["made"], value=numpy_helper.from_array(ONE)),
        condition(graph_of(added("made"), "sum", BRANCH)),
    ],
    "a loop": [repeated("relu", "one", "chosen")],
    "a loop in a branch": [condition(graph_of([repeated("relu", "one", "sum")], "sum", BRANCH))],
    "a loop that reads its branch": [
        condition(graph_of([repeated("relu", "mine", "sum")], "sum", BRANCH, {"mine": ONE}))
    ],
}


def network(nodes):
    """A classifier with these nodes between `relu` and `chosen`."""
    weights = {
        "to_classes": np.random.default_rng(1).normal(size=(3, CLASSES)).astype(np.float32),
        "true": np.array(True),
        "twice": np.array(2, dtype=np.int64),
        "one": ONE,
    }
    every = [
        helper.make_node("Relu", ["images"], ["relu"]),
        *nodes,
        helper.make_node("GlobalAveragePool", ["chosen"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "to_classes"], ["logits"]),
    ]
    graph = helper.make_graph(
        every,
        "branching",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, BRANCH)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("case", CASES)
def test_a_graph_inside_a_node_reads_what_it_read_before(case):
    file = onnx_of("branching.onnx", network(CASES[case]).SerializeToString())
    built = families.FAMILIES["classifier"].build(file, BuildOptions())
    parity = verify(built, render_pictures())
    assert parity.same_pixels.rows > 50
    assert parity.same_pixels.score < 1e-5
