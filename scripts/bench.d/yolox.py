"""A YOLOX of any size with random weights, as its exporter writes it (Ge et al., 2021, arXiv:2107.08430)."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES, BOX, PIXELS = 80, 4, 12
PRIOR_BIAS = -5.0
"""Makes the head find some tens of objects in a picture, as a trained one does."""


def yolox(depth: float, width: float, size: int, seed: int = 1) -> onnx.ModelProto:
    """The network of these multiples; `0.67, 0.75` is YOLOX-m: 25 million weights, 101 MB."""
    return _Writer(seed).model(max(round(3 * depth), 1), [round(c * width) for c in (64, 128, 256, 512, 1024)], size)


class _Writer:
    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def model(self, depth: int, channels: Sequence[int], size: int) -> onnx.ModelProto:
        levels = self._neck(depth, channels, *self._backbone(depth, channels))
        rows = [self._head(level, c, channels[2]) for level, c in zip(levels, channels[2:], strict=True)]
        joined = self._node("Concat", rows, axis=2)
        self._nodes.append(helper.make_node("Transpose", [joined], ["output"], perm=[0, 2, 1]))
        cells = sum((size // stride) ** 2 for stride in (8, 16, 32))
        graph = helper.make_graph(
            self._nodes,
            "yolox",
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 5 + CLASSES])],
            self._weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 7
        return model

    def _backbone(self, depth: int, channels: Sequence[int]) -> tuple[str, str, str]:
        stem, dark2, dark3, dark4, dark5 = channels
        x = self._conv(self._focus("images"), PIXELS, stem, 3)
        x = self._csp(self._conv(x, stem, dark2, 3, 2), dark2, dark2, depth, shortcut=True)
        third = self._csp(self._conv(x, dark2, dark3, 3, 2), dark3, dark3, 3 * depth, shortcut=True)
        fourth = self._csp(self._conv(third, dark3, dark4, 3, 2), dark4, dark4, 3 * depth, shortcut=True)
        x = self._pyramid(self._conv(fourth, dark4, dark5, 3, 2), dark5)
        return third, fourth, self._csp(x, dark5, dark5, depth, shortcut=False)

    def _neck(self, depth: int, channels: Sequence[int], third: str, fourth: str, fifth: str) -> tuple[str, str, str]:
        _, _, small, middle, large = channels
        top = self._conv(fifth, large, middle, 1)
        x = self._csp(
            self._node("Concat", [self._twice(top), fourth], axis=1), 2 * middle, middle, depth, shortcut=False
        )
        lower = self._conv(x, middle, small, 1)
        near = self._csp(
            self._node("Concat", [self._twice(lower), third], axis=1), 2 * small, small, depth, shortcut=False
        )
        x = self._node("Concat", [self._conv(near, small, small, 3, 2), lower], axis=1)
        mid = self._csp(x, 2 * small, middle, depth, shortcut=False)
        x = self._node("Concat", [self._conv(mid, middle, middle, 3, 2), top], axis=1)
        return near, mid, self._csp(x, 2 * middle, large, depth, shortcut=False)

    def _head(self, level: str, channels: int, width: int) -> str:
        x = self._conv(level, channels, width, 1)
        classes = self._conv(self._conv(x, width, width, 3), width, width, 3)
        boxes = self._conv(self._conv(x, width, width, 3), width, width, 3)
        columns = [
            self._plain(boxes, width, BOX, 1, 1, 0.0),
            self._node("Sigmoid", [self._plain(boxes, width, 1, 1, 1, PRIOR_BIAS)]),
            self._node("Sigmoid", [self._plain(classes, width, CLASSES, 1, 1, PRIOR_BIAS)]),
        ]
        shape = self._constant(np.array([1, 5 + CLASSES, -1], np.int64))
        return self._node("Reshape", [self._node("Concat", columns, axis=1), shape])

    def _csp(self, x: str, given: int, made: int, depth: int, *, shortcut: bool) -> str:
        half = made // 2
        deep, flat = self._conv(x, given, half, 1), self._conv(x, given, half, 1)
        for _ in range(depth):
            inner = self._conv(self._conv(deep, half, half, 1), half, half, 3)
            deep = self._node("Add", [deep, inner]) if shortcut else inner
        return self._conv(self._node("Concat", [deep, flat], axis=1), 2 * half, made, 1)

    def _pyramid(self, x: str, channels: int) -> str:
        x = self._conv(x, channels, channels // 2, 1)
        pools = [self._node("MaxPool", [x], kernel_shape=[k, k], pads=[k // 2] * 4, strides=[1, 1]) for k in (5, 9, 13)]
        return self._conv(self._node("Concat", [x, *pools], axis=1), 2 * channels, channels, 1)

    def _focus(self, x: str) -> str:
        """Each second pixel, from each of the four corners."""
        corners = []
        for left in (0, 1):
            for top in (0, 1):
                bounds = [self._constant(np.array(v, np.int64)) for v in ([top, left], [2**31] * 2, [2, 3], [2, 2])]
                corners.append(self._node("Slice", [x, *bounds]))
        return self._node("Concat", corners, axis=1)

    def _twice(self, x: str) -> str:
        scales = self._constant(np.array([1, 1, 2, 2], np.float32))
        return self._node(
            "Resize", [x, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    def _conv(self, x: str, given: int, made: int, kernel: int, stride: int = 1) -> str:
        x = self._plain(x, given, made, kernel, stride, 0.0)
        return self._node("Mul", [x, self._node("Sigmoid", [x])])

    def _plain(self, x: str, given: int, made: int, kernel: int, stride: int, bias: float) -> str:
        spread = 0.01 if made == BOX else (1.7 / (given * kernel**2)) ** 0.5
        if given == PIXELS:
            spread /= 64  # they come as 0 to 255
        weight = self._random.normal(0, spread, (made, given, kernel, kernel)).astype(np.float32)
        inputs = [x, self._constant(weight), self._constant(np.full(made, bias, np.float32))]
        pad = kernel // 2
        return self._node("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4)

    def _constant(self, value: np.ndarray) -> str:
        name = f"weight_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, operator: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name
