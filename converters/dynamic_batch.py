"""Making the first axis of a graph symbolic.

An exporter that traced one picture leaves its batch size in constants: the first entry of a Reshape's shape, alone or
multiplied into channels (ShuffleNet's channel shuffle), of a Resize's sizes. They are rewritten to follow the input.
What else may depend on the batch is not guessed at: `verify` runs batches of several sizes and compares each index with
the original.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from converters.onnx_graph import GraphBuilder, subgraphs

BATCH = "batch"


def fixed_batch(model: onnx.ModelProto, input_name: str) -> int | None:
    """Return the batch size that the graph was exported with, None where it is symbolic already."""
    entry = next(value for value in model.graph.input if value.name == input_name)
    axis = entry.type.tensor_type.shape.dim[0]
    return axis.dim_value if axis.HasField("dim_value") else None


def make_batch_dynamic(model: onnx.ModelProto, input_name: str) -> onnx.ModelProto:
    """Return a copy whose input's and outputs' first axis is `batch`; intermediate shapes are left to inference."""
    dynamic = onnx.ModelProto()
    dynamic.CopyFrom(model)
    batch = fixed_batch(model, input_name)
    source = next(value for value in dynamic.graph.input if value.name == input_name)
    for value in (source, *dynamic.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del dynamic.graph.value_info[:]
    if batch is not None:
        _rewrite_constants(dynamic.graph, batch)
    return dynamic


def _rewrite_constants(graph: onnx.GraphProto, batch: int) -> None:
    constants = _integer_constants(graph)
    builder = GraphBuilder(prefix="dynamic_batch", opset=0)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        made = len(builder.nodes)
        _follow_batch(node, constants, builder, batch)
        nodes += [*builder.nodes[made:], node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(builder.initializers)
    _drop_unread(graph, set(constants))


def _drop_unread(graph: onnx.GraphProto, candidates: set[str]) -> None:
    """Drop the shapes that nothing reads any more; runtimes warn about each of them."""
    if any(map(subgraphs, graph.node)):  # a subgraph may read them by name
        return
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read or tensor.name not in candidates]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _follow_batch(node: onnx.NodeProto, constants: dict[str, list[int]], builder: GraphBuilder, batch: int) -> None:
    """Rewrite one node whose constant shape starts with the exported batch size."""
    position = {"Reshape": 1, "Resize": 3}.get(node.op_type)
    if position is None or len(node.input) <= position:
        return
    shape = constants.get(node.input[position])
    if not shape:
        return
    if node.op_type == "Reshape" and shape[0] > batch and shape[0] % batch == 0 and min(shape) > 0:
        node.input[position] = builder.constant([-1, *shape[1:]])
    if shape[0] != batch:
        return
    if node.op_type == "Reshape":
        node.input[position] = builder.constant([0, *shape[1:]])
        kept = [entry for entry in node.attribute if entry.name != "allowzero"]  # 0 is to mean "as it comes"
        del node.attribute[:]
        node.attribute.extend(kept)
        return
    lead = builder.slice(builder.op("Shape", node.input[0]), 0, 1, axis=0)
    node.input[position] = builder.op("Concat", lead, builder.constant(shape[1:]), axis=0)


def _integer_constants(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Return the one-dimensional INT64 constants by name, initializers and Constant nodes alike."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = next((entry.t for entry in node.attribute if entry.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            tensors[node.output[0]] = value
    return {
        name: np.atleast_1d(numpy_helper.to_array(tensor)).tolist()
        for name, tensor in tensors.items()
        if tensor.data_type == onnx.TensorProto.INT64 and len(tensor.dims) == 1
    }
