"""What rounded weights shift an output by, on average, taken off again in the operator's bias.

The rounding of a weight errs alike on every frame: scores drift, and boxes near the threshold are lost or won together.
The expected error of an output channel is the weights' error times the mean of what the operator reads (Nagel et al.,
"Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721, 4.2).
"""

from collections.abc import Callable, Collection

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from converters.precision_search import exposing
from converters.reference import session
from converters.spec import INPUT_NAME

Rounding = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Weights `[out, in, ...]` → what stands for them in another precision."""

_FRAMES = 8


class BiasCorrection:
    """The means of what the convolutions of a graph read."""

    def __init__(self, model: onnx.ModelProto, frames: NDArray[np.uint8]) -> None:
        """Look at some of the frames.

        Args:
            model: FP32, fused and `named`.
            frames: NV12 `[n, H * 3 / 2, W]`.
        """
        produced = {name for node in model.graph.node for name in node.output}
        read = sorted({node.input[0] for node in model.graph.node if node.op_type == "Conv"} & produced)
        run = session(exposing(model, read).SerializeToString())
        picked = frames[np.linspace(0, len(frames) - 1, min(_FRAMES, len(frames))).astype(int)]
        self._means = dict.fromkeys(read, np.zeros(1))
        for frame in picked if read else ():
            for name, values in zip(read, run.run(read, {INPUT_NAME: frame[None]}), strict=True):
                tensor = np.asarray(values)
                mean = tensor.mean(axis=(0, *range(2, tensor.ndim)), dtype=np.float64)
                self._means[name] = self._means[name] + mean / len(picked)

    def __call__(self, model: onnx.ModelProto, chosen: Collection[str], rounding: Rounding) -> onnx.ModelProto:
        """Return a copy of the model in which the biases of the chosen convolutions make up for the rounding."""
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        constants = {tensor.name: tensor for tensor in copy.graph.initializer}
        for node in copy.graph.node:
            weights = constants.get(node.input[1]) if node.name in chosen and node.op_type == "Conv" else None
            if weights is None or weights.data_type != TensorProto.FLOAT or node.input[0] not in self._means:
                continue
            shift = self._shift(node, numpy_helper.to_array(weights), rounding)
            given = node.input[2] if len(node.input) > 2 else ""
            if given and given not in constants:
                continue
            bias = numpy_helper.to_array(constants[given]) if given else np.zeros_like(shift)
            name = f"{node.name}/bias"  # its own: heads of several levels may share theirs
            copy.graph.initializer.append(numpy_helper.from_array((bias - shift).astype(np.float32), name))
            del node.input[2:]
            node.input.append(name)
        return copy

    def _shift(self, node: onnx.NodeProto, weights: NDArray[np.float32], rounding: Rounding) -> NDArray[np.float64]:
        """Return the expected error of each output channel of a convolution."""
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        error = (rounding(weights).astype(np.float64) - weights).reshape(*weights.shape[:2], -1).sum(axis=2)
        means = self._means[node.input[0]].reshape(groups, -1)
        shift: NDArray[np.float64] = np.einsum("goi,gi->go", error.reshape(groups, -1, weights.shape[1]), means)
        return shift.ravel()
