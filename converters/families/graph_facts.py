"""What a graph's nodes tell of an output: which operators stand right before it."""

import onnx

LAYOUT_OPS = frozenset({"Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Cast"})
"""Operators that move numbers and don't change them."""
ROUNDING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Operators that quantisation puts between others: they round numbers, and leave what the numbers mean."""


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
