"""What a graph's nodes tell: which operators stand right before an output, and which comes first behind an input."""

from dataclasses import dataclass

import onnx
from onnx import numpy_helper

LAYOUT_OPS = frozenset({"Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Cast"})
"""Operators that move numbers and don't change them."""
ROUNDING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Operators that quantisation puts between others: they round numbers, and leave what the numbers mean."""

_MOST_MOVERS = 16
"""That are looked through for the first operator that computes."""
_FEW = 16
"""Sides of a constant for each plane, added up: `[1, 3, 1, 1]` and the like."""


def made_by(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    """Return the nodes that compute a tensor's numbers, in the order they are joined.

    What moves or rounds them is passed over.
    """
    producers = {name: node for node in graph.node for name in node.output}
    found: list[onnx.NodeProto] = []
    pending = [tensor]
    while pending:
        node = producers.get(pending.pop())
        if node is None:
            continue
        if node.op_type in LAYOUT_OPS | ROUNDING_OPS:
            pending += reversed(node.input if node.op_type == "Concat" else node.input[:1])
        else:
            found.append(node)
    return found


def operators(graph: onnx.GraphProto, tensor: str) -> list[str]:
    """Return the types of the nodes that `made_by` gives."""
    return [node.op_type for node in made_by(graph, tensor)]


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first operator that computes with an input, and what it adds, subtracts, multiplies or divides by.

    Attributes:
        op_type: `Add`, `Sub`, `Mul` or `Div`.
        least: Smallest of the constant's values, one for each plane or one for all.
        most: Largest of them.
    """

    op_type: str
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.op_type} of {self.least:.3g}" + (f" to {self.most:.3g}" if self.most != self.least else "")


def beginning_of(graph: onnx.GraphProto, tensor: str) -> Beginning | None:
    """Return what a graph does first with an input, behind what moves or rounds it; None where that is no arithmetic.

    A graph that takes its input to several nodes begins with none of them.
    """
    node = None
    for _ in range(_MOST_MOVERS):
        readers = [node for node in graph.node if tensor in node.input]
        if len(readers) != 1:
            return None
        (node,) = readers
        if node.op_type not in (LAYOUT_OPS | ROUNDING_OPS) - {"Concat"}:
            break
        tensor = node.output[0]
    if node is None or node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return None
    other = [name for name in node.input if name != tensor]
    swapped = node.op_type in ("Sub", "Div") and node.input[0] != tensor
    if len(other) != 1 or swapped:
        return None
    values = _values(_small_constants(graph).get(other[0]))
    return Beginning(node.op_type, min(values), max(values)) if values else None


def _small_constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the constants of few values by name: initializers, and what nodes of that type hold."""
    made = {
        node.output[0]: entry.t
        for node in graph.node
        if node.op_type == "Constant"
        for entry in node.attribute
        if entry.name == "value"
    }
    stored = {tensor.name: tensor for tensor in graph.initializer}
    return {name: tensor for name, tensor in (stored | made).items() if sum(tensor.dims) <= _FEW}


def _values(tensor: onnx.TensorProto | None) -> list[float]:
    return [] if tensor is None else [float(value) for value in numpy_helper.to_array(tensor).ravel()]


def inferred_sides(graph: onnx.GraphProto, tensor: str) -> tuple[int, ...]:
    """Return a tensor's sides behind its batch axis; none where shape inference could not tell all of them."""
    for value in (*graph.value_info, *graph.output):
        if value.name == tensor:
            sides = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
            return sides if all(sides) else ()
    return ()


def stops_at(graph: onnx.GraphProto, most: float) -> bool:
    """Tell whether a Clip of the graph lets nothing above a value through, as an attribute or a constant says.

    One behind an Add of half as much is no activation by itself: exporters that know no HardSigmoid write it so
    (`Clip(x + 3, 0, 6) / 6`).
    """
    constants = _small_constants(graph)
    raised = {
        node.output[0]
        for node in graph.node
        if node.op_type == "Add" and [most / 2] in [_values(constants.get(name)) for name in node.input]
    }
    for node in graph.node:
        if node.op_type != "Clip" or node.input[0] in raised:
            continue
        limits = [entry.f for entry in node.attribute if entry.name == "max"]
        limits += _values(constants.get(node.input[2])) if len(node.input) > 2 else []
        if limits == [most]:
            return True
    return False
