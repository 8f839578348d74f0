"""Which operators of a fused graph may leave FP32, and which must not."""

from collections.abc import Iterator

import onnx

from converters.fuse import network_tensor
from converters.onnx_graph import subgraphs

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

_SENSITIVE = frozenset(
    {
        *("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization"),
        *("Softmax", "LogSoftmax", "Exp", "Log", "Pow", "Sqrt", "Reciprocal"),
        *("ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2", "ReduceLogSumExp", "CumSum"),
        *("NonMaxSuppression", "TopK"),
    }
)
"""Sums, quotients and exponentials, whose range or whose small differences a short number loses (a LayerNorm that an
exporter took apart included)."""


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every node has a name of its own: the given one, or that of its first output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken: set[str] = set()
    for node in copy.graph.node:
        if not node.name or node.name in taken:
            node.name = next(name for name in node.output if name)
        taken.add(node.name)
    return copy


def lowerable(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes of a `named` model that may leave FP32, in graph order.

    They are the operators with weights and what leads to one of them: what comes after the last one is the head, whose
    coordinates need more digits than FP16 has above 512.
    """
    nodes = [node for node in model.graph.node if node.name.startswith(network_tensor("")) and not subgraphs(node)]
    wanted: set[str] = set()
    found: list[str] = []
    for node in reversed(nodes):
        if node.op_type in WEIGHTED or any(name in wanted for name in node.output):
            wanted.update(node.input)
            if node.op_type not in _SENSITIVE:
                found.append(node.name)
    return found[::-1]


def quantisable(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes of a `named` model that INT8 may take, in graph order.

    They are those with weights, but for the first, which sees the pixels, the last on each way, whose outputs are
    coordinates and scores, and depthwise convolutions: in these nothing averages the rounding of a channel out, all
    channels share one range, and they hold few of the weights.
    """
    allowed = set(lowerable(model))
    nodes = [node for node in model.graph.node if node.name in allowed and node.op_type in WEIGHTED]
    inner = _leading_to({node.name for node in nodes}, model)
    return [node.name for node in nodes[1:] if node.name in inner and not _depthwise(node, model)]


def _leading_to(names: set[str], model: onnx.ModelProto) -> set[str]:
    """Return those of the named nodes from which another of them can be reached."""
    wanted: set[str] = set()
    found: set[str] = set()
    for node in reversed(model.graph.node):
        leads = any(name in wanted for name in node.output)
        if leads and node.name in names:
            found.add(node.name)
        if leads or node.name in names:
            wanted.update(names_read(node))
    return found


def _depthwise(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return groups > 1 and shapes.get(node.input[1], (0, 0))[1] == 1


def names_read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the tensors that a node reads, those that its subgraphs take from outside included."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from names_read(inner)
