"""A raw YOLOX head on a few convolutions with random weights: the family's structure in a hundred kilobytes."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
WIDTH = 16


def tiny_yolox(
    *,
    classes: int = 3,
    height: int = 64,
    width: int = 96,
    batch: int | str = 1,
    opset: int = 11,
    seed: int = 1,
    depth: int = 0,
) -> onnx.ModelProto:
    """Return a model whose structure is what YOLOX exports, down to the batch size inside its Reshapes.

    `depth` convolutions of `WIDTH` channels, each with a Relu behind it, stand before the head of each stride.
    """
    return _Sketch(classes, batch, seed).model(height, width, opset, depth)


def saved(model: onnx.ModelProto, path) -> object:
    """Write a model and return its path."""
    onnx.save(model, path)
    return path


class _Sketch:
    def __init__(self, classes: int, batch: int | str, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.classes = classes
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def model(self, height: int, width: int, opset: int, depth: int) -> onnx.ModelProto:
        lead = self.batch if isinstance(self.batch, int) else 0
        columns = 5 + self.classes
        shape = self.weight("shape", np.array([lead, columns, -1], dtype=np.int64))
        levels = []
        for stride in STRIDES:
            pooled = self.node("AveragePool", ["images"], kernel_shape=[stride] * 2, strides=[stride] * 2)
            scaled = self.node("Mul", [pooled, self.weight(f"scale_{stride}", np.array(1 / 128, dtype=np.float32))])
            channels = 3
            for _ in range(depth):
                # what He et al. (arXiv 1502.01852) keep a signal's variance by
                hidden = self.conv(scaled, WIDTH, np.sqrt(2 / channels), channels, bias=0.0)
                scaled, channels = self.node("Relu", [hidden]), WIDTH
            box = self.conv(scaled, 4, 0.3, channels)
            scores = [self.node("Sigmoid", [self.conv(scaled, count, 6.0, channels)]) for count in (1, self.classes)]
            joined = self.node("Concat", [box, *scores], axis=1)
            levels.append(self.node("Reshape", [joined, shape]))
        self.nodes.append(
            helper.make_node("Transpose", [self.node("Concat", levels, axis=2)], ["output"], perm=[0, 2, 1])
        )
        rows = sum((height // stride) * (width // stride) for stride in STRIDES)
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [self.batch, 3, height, width])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [self.batch, rows, columns])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return model

    def conv(self, source: str, channels: int, spread: float, read: int = 3, bias: float = 0.5) -> str:
        name = f"conv_{len(self.nodes)}"
        kernel = self.random.normal(0, spread * np.sqrt(3 / read), (channels, read, 1, 1)).astype(np.float32)
        shift = self.random.normal(0, bias, channels).astype(np.float32)
        return self.node("Conv", [source, self.weight(f"{name}_w", kernel), self.weight(f"{name}_b", shift)])

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], **attributes))
        return name

    def weight(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name
