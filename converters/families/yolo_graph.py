"""What the graph in front of a YOLO head shows: how many rows a picture has, and what computes their columns."""

import onnx

from converters.families.family import Misfit, PictureInput
from converters.families.graph_facts import LAYOUT_OPS, ROUNDING_OPS
from converters.onnx_file import OnnxFile

STRIDE_SETS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32), (8, 16), (8, 16, 32, 64, 128))
"""Of the usual networks, then of those that Ultralytics names p6, p2, tiny, p34 and p7."""
_SAME_OPS = {"Identity", "Cast"} | ROUNDING_OPS


def check_no_masks(file: OnnxFile) -> None:
    """Refuse a network that segments: its rows hold a mask's coefficients behind the classes.

    Raises:
        Misfit: Masks come beside its boxes.
    """
    if any(len(tensor.shape) == 4 and tensor.dtype in ("FLOAT", "FLOAT16") for tensor in file.outputs):
        raise Misfit("masks come beside its boxes; a segmenting network can be published with --task raw")


def rows_per_cell(picture: PictureInput, rows: int | str, wanted: tuple[int, ...] = (1,)) -> int | None:
    """Return how many rows a table has for each cell of the picture's grids.

    Args:
        picture: The network's input.
        rows: Of the table.
        wanted: Numbers that will do, for each cell.

    Returns:
        One of them; None where the rows are of no set of strides with as many a cell.
    """
    for strides in STRIDE_SETS:
        cells = sum((picture.height // stride) * (picture.width // stride) for stride in strides)
        for count in wanted:
            if cells and rows == count * cells:
                return count
    return None


def strides_told() -> str:
    """Return the sets of strides in words."""
    return " or ".join(f"{strides[0]} to {strides[-1]}" for strides in STRIDE_SETS)


def operators_behind(file: OnnxFile, output: str) -> set[str]:
    """Return the operators that compute an output, beneath those that only arrange its parts."""
    producers = {name: node for node in file.model.graph.node for name in node.output}
    found: set[str] = set()
    pending, seen = [output], set[str]()
    while pending:
        name = pending.pop()
        node = producers.get(name)
        if name in seen or node is None:
            continue
        seen.add(name)
        if node.op_type in LAYOUT_OPS | ROUNDING_OPS:
            pending += node.input if node.op_type == "Concat" else node.input[:1]
        else:
            found.add(node.op_type)
    return found


def columns_behind(file: OnnxFile, output: str) -> list[tuple[str, int | None]]:
    """Return the parts that are joined along the second axis of `[b, columns, n]`: operator and columns of each.

    Columns are None where shape inference could not tell them.
    """
    producers = {name: node for node in file.model.graph.node for name in node.output}
    widths = _second_axes(file.model.graph)
    found: list[tuple[str, int | None]] = []
    pending = [output]
    while pending and len(found) <= len(producers):
        name = pending.pop()
        node = producers.get(name)
        if node is not None and (node.op_type in _SAME_OPS or _joins_columns(node)):
            pending += reversed(node.input if node.op_type == "Concat" else node.input[:1])
        else:
            found.append((node.op_type if node is not None else "nothing", widths.get(name)))
    return found


def holds(file: OnnxFile, *op_types: str) -> bool:
    """Tell whether the graph has a node of one of these types."""
    return any(node.op_type in op_types for node in file.model.graph.node)


def _joins_columns(node: onnx.NodeProto) -> bool:
    axis = next((entry.i for entry in node.attribute if entry.name == "axis"), None)
    return node.op_type == "Concat" and axis in (1, -2)


def _second_axes(graph: onnx.GraphProto) -> dict[str, int | None]:
    dims = {value.name: value.type.tensor_type.shape.dim for value in (*graph.value_info, *graph.output, *graph.input)}
    return {name: shape[1].dim_value or None for name, shape in dims.items() if len(shape) > 1}


def width_of_maximum(file: OnnxFile) -> int | None:
    """Return the last axis of `[b, n, C]` that a ReduceMax goes over, where there is one such."""
    graph = file.model.graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    dims = [shapes[node.input[0]] for node in graph.node if node.op_type == "ReduceMax" and node.input[0] in shapes]
    widths = {shape[2].dim_value for shape in dims if len(shape) == 3 and shape[2].dim_value}
    return widths.pop() if len(widths) == 1 else None
