"""Functions that a model brings along and calls like operators, as PyTorch's first dynamo exporter wrote them."""

import onnx
import onnx.inliner


def in_line(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the operators of its functions in their callers' place; the same one where it has none.

    It may grow a lot: of an untrusted model a process with limits finds out first.

    Raises:
        ValueError: A function is of another opset than the graph.
    """
    if not model.functions:
        return model
    plain = onnx.inliner.inline_local_functions(model)
    if plain.functions:
        function = plain.functions[0]
        raise ValueError(f"its function {function.name!r} is of another opset than its graph")
    own = {function.domain for function in model.functions} - {""}
    kept = [entry for entry in plain.opset_import if entry.domain not in own]
    del plain.opset_import[:]
    plain.opset_import.extend(kept)
    return plain
