"""One graph from bytes to rows: NV12 in front of a network, its decoded head and suppression behind it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper, version_converter

from converters.dynamic_batch import BATCH, make_batch_dynamic
from converters.errors import ModelError
from converters.nms import Candidates, ClassScores, append_nms
from converters.nv12 import append_planes
from converters.onnx_file import printable
from converters.onnx_graph import MAX_IR_VERSION, MIN_OPSET, GraphBuilder, subgraphs
from converters.preprocess import Preprocess
from converters.spec import COUNT_NAME, DETECTIONS_NAME, INPUT_NAME, SCORES_NAME, ModelSpec, Task

Decode = Callable[[GraphBuilder], Candidates | ClassScores]
"""Appends a head's decoding, reading the network's outputs by name, and says where the candidates are, or the scores
of a classifier."""

_NETWORK = "network/"


def fuse(model: onnx.ModelProto, spec: ModelSpec, preprocess: Preprocess, decode: Decode) -> onnx.ModelProto:
    """Return the model of the contract around a network of one input, which `preprocess` describes.

    Args:
        model: The network; not changed.
        spec: Canvas, thresholds and labels.
        preprocess: What the network expects in place of bytes.
        decode: Appends the decoding; finds the network's outputs under `network_tensor(name)`.

    Raises:
        ModelError: The network is of an opset that can't be raised to `MIN_OPSET`, or calls functions of its own.
    """
    _check_in_line(model)
    network = _prefixed(_raised(model))
    constants = {tensor.name for tensor in network.graph.initializer}
    source = next(value.name for value in network.graph.input if value.name not in constants)
    network = _widened(make_batch_dynamic(network, source))
    opset = opset_of(network)
    front = GraphBuilder(prefix="nv12", opset=opset)
    planes = append_planes(front, INPUT_NAME, height=spec.height, width=spec.width, preprocess=preprocess)
    front.op("Identity", planes, out=source)
    back = GraphBuilder(prefix="head", opset=opset)
    head = decode(back)
    if isinstance(head, ClassScores):
        back.op("Identity", head.scores, out=SCORES_NAME)
    else:
        append_nms(back, _on_canvas(back, head, spec, preprocess), spec)
    nodes = [*front.nodes, *network.graph.node, *back.nodes]
    initializers = [*network.graph.initializer, *front.initializers, *back.initializers]
    return assemble(nodes, initializers, spec, opset_imports=list(network.opset_import), ir=network.ir_version)


def _on_canvas(graph: GraphBuilder, head: Candidates, spec: ModelSpec, preprocess: Preprocess) -> Candidates:
    """Stretch pixels of a network that is smaller than its canvas to those of the canvas."""
    if preprocess.size is None:
        return head
    rows, columns = preprocess.size
    x, y = spec.width / columns, spec.height / rows
    stretch = graph.constant(np.array([x, y, x, y], dtype=np.float32))
    boxes, extras = graph.op("Mul", head.boxes, stretch), head.extras
    if extras is not None:
        points = np.array([x, y, 1] * len(spec.keypoints), dtype=np.float32)
        extras = graph.op("Mul", extras, graph.constant(points))
    return replace(head, boxes=boxes, extras=extras)


def assemble(
    nodes: list[onnx.NodeProto],
    initializers: list[onnx.TensorProto],
    spec: ModelSpec,
    *,
    opset_imports: list[onnx.OperatorSetIdProto],
    ir: int = MAX_IR_VERSION,
) -> onnx.ModelProto:
    """Return a checked model with the contract's input and outputs around nodes in topological order."""
    graph = helper.make_graph(
        nodes,
        "ruth",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [BATCH, *spec.frame_shape])],
        _outputs(spec),
        initializers,
    )
    model = helper.make_model(graph, producer_name="ruth-convert", opset_imports=opset_imports)
    model.ir_version = min(max(ir, 4), MAX_IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _outputs(spec: ModelSpec) -> list[onnx.ValueInfoProto]:
    if spec.task is Task.CLASSIFY:
        return [helper.make_tensor_value_info(SCORES_NAME, TensorProto.FLOAT, [BATCH, len(spec.labels)])]
    rows: list[str | int | None] = [BATCH, spec.max_detections, spec.row_width]
    return [
        helper.make_tensor_value_info(DETECTIONS_NAME, TensorProto.FLOAT, rows),
        helper.make_tensor_value_info(COUNT_NAME, TensorProto.INT32, [BATCH, 1]),
    ]


def network_tensor(name: str) -> str:
    """Return the name that a tensor of the network has inside the fused graph."""
    return _NETWORK + name


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operator set."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _check_in_line(model: onnx.ModelProto) -> None:
    """Refuse functions that could not be put in line, which nodes can't be joined with."""
    if model.functions:
        raise ModelError(
            f"its function {printable(model.functions[0].name)!r} is of another opset than its graph; export it with "
            "operators of ONNX alone (PyTorch: torch.onnx.export, dynamo=True), or publish it for direct calls, with "
            "--task raw"
        )


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at an opset that the appended operators exist in."""
    opset = opset_of(model)
    if opset >= MIN_OPSET:
        return model
    try:
        return version_converter.convert_version(model, MIN_OPSET)
    except RuntimeError as error:
        raise ModelError(
            f"opset {opset} is older than {MIN_OPSET} and can't be raised ({error}); "
            f"export the model with opset {MIN_OPSET} or newer"
        ) from error


def _widened(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with FLOAT in place of FLOAT16 outputs, under the same names: heads are decoded in FLOAT."""
    halves = {value.name for value in network.graph.output if value.type.tensor_type.elem_type == TensorProto.FLOAT16}
    _rename(network.graph, lambda name: f"{name}/half" if name in halves else name)
    for name in sorted(halves):
        network.graph.node.append(helper.make_node("Cast", [f"{name}/half"], [name], to=TensorProto.FLOAT))
    return network


def _prefixed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which the name of each tensor and node says that it is the network's.

    `onnx.compose.add_prefix` leaves the names of weights as they were where a subgraph reads them.
    """
    prefixed = onnx.ModelProto()
    prefixed.CopyFrom(model)
    graph = prefixed.graph
    _rename(graph, network_tensor)
    for named in (*_values(graph), *(node for node in graph.node if node.name)):
        named.name = network_tensor(named.name)
    return prefixed


def _rename(graph: onnx.GraphProto, new: Callable[[str], str]) -> None:
    """Give new names to the tensors that the nodes of a graph read and make, in subgraphs to all that are theirs."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new(name) if name else name for name in names]  # an empty one stands for none
        for inner in subgraphs(node):
            _rename(inner, new)
            for value in _values(inner):
                value.name = new(value.name)


def _values(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto | onnx.TensorProto]:
    """Return what a graph itself declares by name."""
    return [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
