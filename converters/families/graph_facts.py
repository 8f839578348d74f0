"""What a graph's nodes tell: which operators stand right before an output, and which comes first behind an input."""

from dataclasses import dataclass

import onnx
from onnx import numpy_helper

LAYOUT_OPS = frozenset({"Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Cast"})
"""Operators that move numbers and don't change them."""
ROUNDING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Operators that quantisation puts between others: they round numbers, and leave what the numbers mean."""

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
    while True:
        readers = [node for node in graph.node if tensor in node.input]
        if len(readers) != 1:
            return None
        (node,) = readers
        if node.op_type not in (LAYOUT_OPS | ROUNDING_OPS) - {"Concat"}:
            break
        tensor = node.output[0]
    other = [name for name in node.input if name != tensor]
    swapped = node.op_type in ("Sub", "Div") and node.input[0] != tensor
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(other) != 1 or swapped:
        return None
    values = _constant(graph, other[0])
    return None if values is None else Beginning(node.op_type, min(values), max(values))


def _constant(graph: onnx.GraphProto, name: str) -> list[float] | None:
    """Return a constant's few values; None where it is none, or has many."""
    stored = [tensor for tensor in graph.initializer if tensor.name == name]
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            stored += [entry.t for entry in node.attribute if entry.name == "value"]
    values = [numpy_helper.to_array(tensor).ravel() for tensor in stored if sum(tensor.dims) <= _FEW]
    return [float(value) for value in values[0]] if values and values[0].size else None


def inferred_sides(graph: onnx.GraphProto, tensor: str) -> tuple[int, ...]:
    """Return a tensor's sides behind its batch axis; none where shape inference could not tell all of them."""
    for value in (*graph.value_info, *graph.output):
        if value.name == tensor:
            sides = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
            return sides if all(sides) else ()
    return ()


def stops_at(graph: onnx.GraphProto, most: float) -> bool:
    """Tell whether a Clip of the graph lets nothing above a value through, as an attribute or a constant says."""
    for node in graph.node:
        if node.op_type != "Clip":
            continue
        limits = [entry.f for entry in node.attribute if entry.name == "max"]
        limits += (_constant(graph, node.input[2]) or []) if len(node.input) > 2 else []
        if limits == [most]:
            return True
    return False
