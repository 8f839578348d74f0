"""A large model that finds what a small one finds: channels several times (Chen et al., Net2Net, 2016)."""

from collections.abc import Container, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Times = NDArray[np.int64]
"""How often each channel of the small model's tensor is there, `[C]`."""


def widened(model: onnx.ModelProto, times: float, head_channels: Container[int]) -> onnx.ModelProto:
    """Repeat the channels between the first convolutions and the head, and have consumers share their weights out.

    Args:
        model: A network of convolutions and of operators that treat channels alike or join them.
        times: How often on average; of 5.4, four channels in ten are there six times, the others five times.
        head_channels: Convolutions with so many channels are the head's: their output stays as it is.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    weights = {each.name: each for each in wide.graph.initializer}
    known: dict[str, Times] = {}
    for node in wide.graph.node:
        if node.op_type == "Conv":
            known[node.output[0]] = _widen(node, weights, known.get(node.input[0]), times, head_channels)
        elif node.op_type == "Concat":
            if all(name in known for name in node.input):
                known[node.output[0]] = np.concatenate([known[name] for name in node.input])
        elif node.input and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
    del wide.graph.value_info[:]
    return wide


def _widen(
    node: onnx.NodeProto,
    weights: Mapping[str, onnx.TensorProto],
    taken: Times | None,
    times: float,
    head_channels: Container[int],
) -> Times:
    """Widen one convolution whose input's channels are there `taken` times; return how often its output's are."""
    kernel = numpy_helper.to_array(weights[node.input[1]])
    group = next((each for each in node.attribute if each.name == "group"), None)
    channels = kernel.shape[0]
    if group is not None and group.i > 1 and taken is not None:
        made = taken
        group.i = int(made.sum())
    else:
        made = np.ones(channels, dtype=np.int64) if channels in head_channels else _shared_out(channels, times)
        if taken is not None:
            kernel = np.repeat(kernel / taken[:, None, None], taken, axis=1)
    biases = [numpy_helper.to_array(weights[name]) for name in node.input[2:]]
    for name, value in zip(node.input[1:], [kernel, *biases], strict=True):
        weights[name].CopyFrom(numpy_helper.from_array(np.repeat(value, made, axis=0).astype(np.float32), name))
    return made


def _shared_out(channels: int, times: float) -> Times:
    """The whole numbers next to `times`, in the shares that make it their mean."""
    return np.diff(np.round(np.arange(channels + 1) * times)).astype(np.int64)
