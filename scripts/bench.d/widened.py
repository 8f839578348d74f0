"""A large model that finds what a small one finds: each channel several times (Chen et al., Net2Net, 2016)."""

from collections.abc import Container

import numpy as np
import onnx
from onnx import numpy_helper


def widened(model: onnx.ModelProto, times: int, head_channels: Container[int]) -> onnx.ModelProto:
    """Repeat every channel between the first convolutions and the head, and have consumers take their mean.

    Args:
        model: A network of convolutions and of operators that treat channels alike or join them.
        times: How often.
        head_channels: Convolutions with so many channels are the head's: their output stays as it is.
    """
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    weights = {each.name: each for each in wide.graph.initializer}
    first = True
    for node in wide.graph.node:
        if node.op_type != "Conv":
            continue
        group = next((each for each in node.attribute if each.name == "group"), None)
        kernel = numpy_helper.to_array(weights[node.input[1]])
        made_times = 1 if kernel.shape[0] in head_channels else times
        if group is not None and group.i > 1:
            group.i *= times
        elif not first:
            kernel = np.repeat(kernel, times, axis=1) / times
        first = False
        biases = [numpy_helper.to_array(weights[name]) for name in node.input[2:]]
        for name, value in zip(node.input[1:], [kernel, *biases], strict=True):
            repeated = np.repeat(value, made_times, axis=0).astype(np.float32)
            weights[name].CopyFrom(numpy_helper.from_array(repeated, name))
    del wide.graph.value_info[:]
    return wide
