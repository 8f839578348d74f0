"""A sound model with bytes flipped, or changed in places so that it is still a well-formed message."""

import random
from collections.abc import Callable

import onnx

from tests.support.hostile.parts import HUGE
from tests.support.tiny_yolox import tiny_yolox


def flipped(data: bytes, seed: int) -> bytes:
    generator, changed = random.Random(seed), bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 8, 64))):
        changed[generator.randrange(min(len(changed), 4000 if seed % 2 else len(changed)))] = generator.randrange(256)
    return bytes(changed)


def mutated(seed: int) -> bytes:
    """Change a sound model in one to three places, each still a well-formed message."""
    generator, model = random.Random(seed), tiny_yolox()
    for _ in range(generator.randrange(1, 4)):
        generator.choice(_CHANGES)(model.graph, generator)
    return model.SerializeToString()


def _drop_node(graph: onnx.GraphProto, generator: random.Random) -> None:
    del graph.node[generator.randrange(len(graph.node))]


def _rename_operator(graph: onnx.GraphProto, generator: random.Random) -> None:
    names = ("Relu", "If", "Loop", "NonMaxSuppression", "Resize", "QLinearConv", "Nothing", "", "LSTM", "TopK")
    generator.choice(graph.node).op_type = generator.choice(names)


def _change_shape(graph: onnx.GraphProto, generator: random.Random) -> None:
    tensor = generator.choice(graph.initializer)
    sizes = (-1, 0, 1, 7, HUGE, 2**62)
    del tensor.dims[:]
    tensor.dims.extend(generator.choice(sizes) for _ in range(generator.randrange(6)))


def _change_type(graph: onnx.GraphProto, generator: random.Random) -> None:
    generator.choice(graph.initializer).data_type = generator.choice((0, 2, 7, 8, 10, 16, 23, 99, -1))


def _shorten_data(graph: onnx.GraphProto, generator: random.Random) -> None:
    tensor = generator.choice(graph.initializer)
    tensor.raw_data = tensor.raw_data[: generator.randrange(len(tensor.raw_data) + 1)]


def _swap_inputs(graph: onnx.GraphProto, generator: random.Random) -> None:
    one, other = generator.choice(graph.node), generator.choice(graph.node)
    one.input[0], other.input[-1] = other.input[-1], one.input[0]


def _rename_output(graph: onnx.GraphProto, generator: random.Random) -> None:
    generator.choice(graph.node).output[0] = generator.choice(("", "output", "images", "x" * 70_000))


def _change_attribute(graph: onnx.GraphProto, generator: random.Random) -> None:
    attribute = generator.choice([attribute for node in graph.node for attribute in node.attribute])
    if attribute.ints:
        attribute.ints[0] = generator.choice((-1, 0, HUGE, -(2**63)))
    attribute.type = generator.choice((attribute.type, 1, 3, 5, 7))


def _change_input(graph: onnx.GraphProto, generator: random.Random) -> None:
    dims = graph.input[0].type.tensor_type.shape.dim
    dims[generator.randrange(len(dims))].dim_value = generator.choice((-5, 0, 1, 31, 64 * 1024, HUGE, 2**62))


def _copy_node(graph: onnx.GraphProto, generator: random.Random) -> None:
    graph.node.add().CopyFrom(generator.choice(graph.node))


_CHANGES: tuple[Callable[[onnx.GraphProto, random.Random], None], ...] = (
    _drop_node,
    _rename_operator,
    _change_shape,
    _change_type,
    _shorten_data,
    _swap_inputs,
    _rename_output,
    _change_attribute,
    _change_input,
    _copy_node,
)
