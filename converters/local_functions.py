"""Functions that a model brings along and calls like operators, as PyTorch's first dynamo exporter wrote them."""

from collections.abc import Iterator

import onnx
import onnx.inliner

from converters.onnx_graph import subgraphs


def in_line(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the operators of its functions in their callers' place.

    The same one where it has none, or one of another opset than its graph. It may grow a lot: of an untrusted model a
    process with limits finds out first.
    """
    if not model.functions:
        return model
    plain = onnx.inliner.inline_local_functions(model)
    if plain.functions:
        return model
    unused = {function.domain for function in model.functions} - set(_domains(plain.graph)) - {""}
    kept = [entry for entry in plain.opset_import if entry.domain not in unused]
    del plain.opset_import[:]
    plain.opset_import.extend(kept)
    return plain


def _domains(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the domain of each operator, in loops and branches too."""
    for node in graph.node:
        yield node.domain
        for inner in subgraphs(node):
            yield from _domains(inner)
