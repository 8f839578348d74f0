"""Making the batch axis of a graph symbolic."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.dynamic_batch import fixed_batch, make_batch_dynamic
from converters.reference import session
from tests.support.tiny_yolox import tiny_yolox


def graph_of(nodes, constants, shape_in, shape_out):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape_out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


def run(model, x):
    (y,) = session(model.SerializeToString()).run(None, {model.graph.input[0].name: x})
    return y


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("exported", [1, 2])
def test_each_index_of_a_batch_equals_the_original(batch, exported):
    model = tiny_yolox(batch=exported)
    x = np.random.default_rng(0).uniform(0, 255, (batch, 3, 64, 96)).astype(np.float32)
    together = run(make_batch_dynamic(model, "images"), x)
    for index in range(batch):
        alone = run(model, np.repeat(x[index : index + 1], exported, axis=0))
        np.testing.assert_allclose(together[index], alone[0], rtol=1e-5, atol=1e-5)


def test_a_resize_to_fixed_sizes_follows_the_batch():
    resize = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")
    model = graph_of([resize], {"sizes": np.array([1, 2, 6, 8])}, [1, 2, 3, 4], [1, 2, 6, 8])
    x = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype(np.float32)
    together = run(make_batch_dynamic(model, "x"), x)
    np.testing.assert_array_equal(together[2:], run(model, x[2:]))


def test_a_shape_of_an_exporter_that_means_zero_as_zero_follows_the_batch():
    reshape = helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)
    model = graph_of([reshape], {"shape": np.array([1, 2, 12])}, [1, 2, 3, 4], [1, 2, 12])
    model.opset_import[0].version = 14
    x = np.random.default_rng(0).normal(size=(3, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(run(make_batch_dynamic(model, "x"), x), x.reshape(3, 2, 12))


def test_a_shape_in_a_constant_node_is_rewritten():
    shape = helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([1, 12])))
    model = graph_of([shape, helper.make_node("Reshape", ["x", "shape"], ["y"])], {}, [1, 3, 4], [1, 12])
    assert run(make_batch_dynamic(model, "x"), np.zeros((4, 3, 4), dtype=np.float32)).shape == (4, 12)


def test_a_shape_that_another_node_reads_keeps_its_value_there():
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Cast", ["shape"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["as_float"], ["total"], keepdims=0),
        helper.make_node("Add", ["flat", "total"], ["y"]),
    ]
    model = graph_of(nodes, {"shape": np.array([1, 12])}, [1, 3, 4], [1, 12])
    y = run(make_batch_dynamic(model, "x"), np.zeros((2, 3, 4), dtype=np.float32))
    np.testing.assert_array_equal(y, np.full((2, 12), 13, dtype=np.float32))


def test_a_symbolic_batch_is_left_alone_and_the_original_is_not_changed():
    model = tiny_yolox(batch="n")
    before = model.SerializeToString(deterministic=True)
    assert fixed_batch(model, "images") is None
    dynamic = make_batch_dynamic(model, "images")
    assert model.SerializeToString(deterministic=True) == before
    assert [node.SerializeToString() for node in dynamic.graph.node] == [
        node.SerializeToString() for node in model.graph.node
    ]
    assert isinstance(dynamic, onnx.ModelProto)


def test_no_shape_is_left_that_nothing_reads():
    dynamic = make_batch_dynamic(tiny_yolox(), "images")
    read = {name for node in dynamic.graph.node for name in node.input}
    assert {tensor.name for tensor in dynamic.graph.initializer} <= read
