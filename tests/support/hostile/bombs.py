"""Models that would take memory, disk or time without end."""

import itertools
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.hostile.parts import HUGE, Model, int64, model_of, scalar, value
from tests.support.tiny_yolox import tiny_yolox


def _summed() -> list[onnx.NodeProto]:
    return [helper.make_node("ReduceSum", ["f"], ["r"], keepdims=0), helper.make_node("Add", ["x", "r"], ["y"])]


def _filled(*shape: int) -> Model:
    fill = helper.make_node("ConstantOfShape", ["s"], ["f"])
    return model_of([fill, *_summed()], [int64("s", *shape)])


def _doubling(times: int) -> Model:
    names = ["w", *(f"d{index}" for index in range(times))]
    nodes = [helper.make_node("Concat", [one, one], [other], axis=0) for one, other in itertools.pairwise(names)]
    nodes.append(helper.make_node("ReduceSum", [names[-1]], ["r"], keepdims=0))
    nodes.append(helper.make_node("Add", ["x", "r"], ["y"]))
    return model_of(nodes, [numpy_helper.from_array(np.ones(1024, dtype=np.float32), "w")])


def _nested(depth: int) -> Model:
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "b", [], [value("z")])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body if depth < 9 else None)
        body = helper.make_graph([node], "b", [], [value("z")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)
    return model_of([node], [numpy_helper.from_array(np.array(True), "c")])


def _nested_bytes(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph …, deeper than a library would write."""
    inner = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # attribute.g, node.attribute, graph.node
            inner = tag + _varint(len(inner)) + inner
    return b"\x08\x08\x3a" + _varint(len(inner)) + inner


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _chain(length: int) -> Model:
    names = ["x", *(f"t{index}" for index in range(length - 1)), "y"]
    pairs = itertools.pairwise(names)
    return model_of([helper.make_node("Relu", [one], [other]) for one, other in pairs])


def _constant_op(op_type: str, *inputs: TensorProto, **attributes: object) -> Model:
    node = helper.make_node(op_type, [tensor.name for tensor in inputs], ["f"], **attributes)
    return model_of([node, *_summed()], list(inputs))


def _one() -> TensorProto:
    return numpy_helper.from_array(np.ones((1, 1), dtype=np.float32), "o")


def _giant_canvas(height: int, width: int) -> Model:
    model = tiny_yolox()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = height, width
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = sum(
        (height // stride) * (width // stride) for stride in (8, 16, 32)
    )
    return model


def _claimed(*dims: int) -> Model:
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 16)
    return model_of([helper.make_node("Add", ["x", "w"], ["y"])], [weight])


def _sparse(index: int, *dims: int) -> Model:
    model = model_of([helper.make_node("Add", ["x", "w"], ["y"])])
    values = numpy_helper.from_array(np.ones(1, dtype=np.float32), "w")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, int64("i", index), list(dims)))
    return model


def _recursive_function() -> Model:
    model = model_of([helper.make_node("Again", ["x"], ["y"], domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    again = helper.make_node("Again", ["a"], ["b"], domain="own")
    model.functions.append(helper.make_function("own", "Again", ["a"], ["b"], [again], imports))
    return model


def _many_functions(levels: int) -> Model:
    """Each function calls the one below ten times: inlined, ten to the power of the levels."""
    model = model_of([helper.make_node(f"F{levels}", ["x"], ["y"], domain="own")])
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    model.opset_import.append(helper.make_opsetid("own", 1))
    base = helper.make_function("own", "F0", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], imports)
    model.functions.append(base)
    for level in range(1, levels + 1):
        names = ["a", *(f"t{index}" for index in range(9)), "b"]
        calls = [
            helper.make_node(f"F{level - 1}", [one], [other], domain="own") for one, other in itertools.pairwise(names)
        ]
        model.functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], calls, imports))
    return model


BOMBS: dict[str, Callable[[], Model | bytes]] = {
    "filled_4_gb": lambda: _filled(1 << 15, 1 << 15),
    "filled_overflow": lambda: _filled(HUGE, HUGE, HUGE),
    "filled_negative": lambda: _filled(-4, 4),
    "doubling_20": lambda: _doubling(20),
    "doubling_60": lambda: _doubling(60),
    "expand": lambda: _constant_op("Expand", _one(), int64("s", 1 << 16, 1 << 16)),
    "tile": lambda: _constant_op("Tile", _one(), int64("s", 1 << 20, 1 << 12)),
    "range": lambda: _constant_op("Range", *(scalar(n, v) for n, v in (("a", 0.0), ("b", 1e12), ("c", 1.0)))),
    "one_hot": lambda: _constant_op(
        "OneHot", int64("i", 1, 2), int64("d", 1 << 40), numpy_helper.from_array(np.zeros(2, np.float32), "v")
    ),
    "pad": lambda: _constant_op("Pad", _one(), int64("p", 1 << 30, 1 << 30, 0, 0)),
    "nested_5": lambda: _nested(5),
    "nested_bytes_30": lambda: _nested_bytes(30),
    "nested_bytes_3000": lambda: _nested_bytes(3000),
    "nested_bytes_100000": lambda: _nested_bytes(30_000),
    "chain_20000": lambda: _chain(20_000),
    "long_name": lambda: _renamed(tiny_yolox(), "n" * 20_000_000),
    "long_doc": lambda: _documented("d" * 30_000_000),
    "rank_10000": lambda: _claimed(*[1] * 10_000),
    "claims_exabytes": lambda: _claimed(HUGE, HUGE),
    "claims_overflow": lambda: _claimed(2**62, 4),
    "claims_negative": lambda: _claimed(-4),
    "sparse_exabytes": lambda: _sparse(3, HUGE, HUGE),
    "sparse_index_outside": lambda: _sparse(1 << 40, 4),
    "sparse_dense_8_gb": lambda: _sparse(3, HUGE),
    "canvas_65536": lambda: _giant_canvas(1 << 16, 1 << 16),
    "canvas_million_wide": lambda: _giant_canvas(32, 32 << 20),
    "canvas_8192": lambda: _giant_canvas(8192, 8192),
    "recursive_function": _recursive_function,
    "functions_ten_to_the_7": lambda: _many_functions(7),
    "metadata_100000": lambda: _with_metadata(100_000),
}


def _renamed(model: Model, name: str) -> Model:
    model.graph.node[0].name = name
    model.graph.input[0].name = name
    return model


def _documented(text: str) -> Model:
    model = _chain(3)
    model.doc_string = text
    return model


def _with_metadata(count: int) -> Model:
    model = _chain(3)
    for index in range(count):
        model.metadata_props.add(key=f"k{index}", value="v")
    return model
