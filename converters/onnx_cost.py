"""What one run of a graph costs: multiply-accumulates, bytes of weights, bytes of activations alive at once.

Computed from inferred shapes, with every symbolic dimension taken as 1: one picture. Element-wise work is left out, as
in the figures that model papers print. Shapes that inference can't tell make the figure a lower bound, and it says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import onnx
from onnx import TensorProto, helper

Shapes = Mapping[str, "tuple[int, ...]"]
"""Tensor name → shape, symbolic dimensions as 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one picture.

    Attributes:
        macs: Multiply-accumulates of Conv, ConvTranspose, Gemm and MatMul.
        parameters: Elements of the initializers.
        parameter_bytes: Bytes of the initializers.
        activation_bytes: Most bytes of tensors alive at once when nodes run in the graph's order and nothing is
            computed in place; inputs included, weights left out.
        unknown: Nodes whose shapes inference can't tell, which therefore aren't counted.
    """

    macs: int
    parameters: int
    parameter_bytes: int
    activation_bytes: int
    unknown: int


def cost_of(model: onnx.ModelProto) -> Cost:
    """Return the cost of a graph whose `value_info` holds inferred shapes (`onnx_file.read_onnx` gives one)."""
    graph = model.graph
    shapes, sizes = _tensors(graph)
    macs = [_macs(node, shapes) for node in graph.node if node.op_type in _MACS]
    weights = [(prod(tensor.dims), tensor.data_type) for tensor in graph.initializer]
    unsized = sum(any(name and name not in sizes for name in node.output) for node in graph.node)
    return Cost(
        macs=sum(count for count in macs if count is not None),
        parameters=sum(count for count, _ in weights),
        parameter_bytes=sum(_bytes(count, dtype) for count, dtype in weights),
        activation_bytes=_peak(graph, sizes),
        unknown=unsized,
    )


def _tensors(graph: onnx.GraphProto) -> tuple[Shapes, Mapping[str, int]]:
    """Return the shape of every tensor that has one, and the bytes of every one that is no weight."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    shapes: dict[str, tuple[int, ...]] = {}
    sizes: dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if value.name in weights or not tensor.HasField("shape"):
            continue
        shapes[value.name] = tuple(axis.dim_value if axis.HasField("dim_value") else 1 for axis in tensor.shape.dim)
        sizes[value.name] = _bytes(prod(shapes[value.name]), tensor.elem_type)
    return shapes | weights, sizes


def _bytes(elements: int, dtype: int) -> int:
    if dtype in (TensorProto.UNDEFINED, TensorProto.STRING):
        return 0
    return -(-elements * _bits(dtype) // 8)


def _bits(dtype: int) -> int:
    """Return the bits of one element; types below a byte are packed."""
    if TensorProto.DataType.Name(dtype) in ("INT4", "UINT4", "FLOAT4E2M1"):
        return 4
    return helper.tensor_dtype_to_np_dtype(dtype).itemsize * 8


def _peak(graph: onnx.GraphProto, sizes: Mapping[str, int]) -> int:
    """Return the largest sum of live tensors: each lives from the node that makes it to the last that reads it."""
    last = {name: index for index, node in enumerate(graph.node) for name in node.input}
    last |= {value.name: len(graph.node) for value in graph.output}
    alive = {value.name for value in graph.input if value.name in sizes}
    peak = total = sum(sizes[name] for name in alive)
    for index, node in enumerate(graph.node):
        made = {name for name in node.output if name in sizes} - alive
        alive |= made
        total += sum(sizes[name] for name in made)
        peak = max(peak, total)
        done = {name for name in (*node.input, *node.output) if name in alive and last.get(name, index) <= index}
        alive -= done
        total -= sum(sizes[name] for name in done)
    return peak


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int | None:
    """Return the multiply-accumulates of a node, None where a shape is missing."""
    if any(name not in shapes for name in (*node.input[:2], node.output[0])):
        return None
    return _MACS[node.op_type](node, shapes)


def _conv(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Each output element sums over one filter: `[out, in / group, *kernel]`."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _conv_transpose(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Each input element is spread over one filter: `[in, out / group, *kernel]`."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matmul(node: onnx.NodeProto, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _gemm(node: onnx.NodeProto, shapes: Shapes) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if transposed else -1]


_MACS: dict[str, Callable[[onnx.NodeProto, Shapes], int]] = {
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
}
