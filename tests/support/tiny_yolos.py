"""Networks of a few convolutions with random weights, ending as exports of the YOLO line do."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
HEIGHT, WIDTH = 96, 64


class TinyYolo:
    """Collects nodes; one method for each layout. Batch 1, baked into the Reshapes, as exporters leave it."""

    def __init__(
        self,
        *,
        classes: int = 3,
        keypoints: int = 0,
        seed: int = 1,
        opset: int = 13,
        strides: Sequence[int] = STRIDES,
        size: tuple[int, int] = (HEIGHT, WIDTH),
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.classes, self.keypoints, self.opset = classes, keypoints, opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.strides, (self.height, self.width) = strides, size
        self.cells = sum((self.height // stride) * (self.width // stride) for stride in strides)
        self.picture = self.tensor("images", [1, 3, self.height, self.width])
        self.metadata: dict[str, str] = {}

    def anchored_rows(self, anchors: int = 3) -> onnx.ModelProto:
        """YOLOv5: `[1, n, 5 + C]`; sigmoid, then offsets and anchors, level by level."""
        columns = 5 + self.classes
        levels = []
        for stride in self.strides:
            down, across = self.height // stride, self.width // stride
            raw = self.conv(self.pooled(stride), anchors * columns, 4.0)
            shaped = self.node("Reshape", [raw, self.integers([1, anchors, columns, down, across])])
            turned = self.node("Sigmoid", [self.node("Transpose", [shaped], perm=[0, 1, 3, 4, 2])])
            xy, wh, rest = (self.slice(turned, low, high, 4) for low, high in ((0, 2), (2, 4), (4, columns)))
            y, x = np.mgrid[:down, :across]
            grid = np.stack([x, y], -1)[None, None] - 0.5
            xy = self.op("Mul", self.op("Add", self.op("Mul", xy, 2.0), grid), float(stride))
            anchor = self.random.uniform(1, 3, (1, anchors, 1, 1, 2)) * stride
            wh = self.op("Mul", self.op("Pow", self.op("Mul", wh, 2.0), 2.0), anchor)
            joined = self.node("Concat", [xy, wh, rest], axis=4)
            levels.append(self.node("Reshape", [joined, self.integers([1, -1, columns])]))
        self.nodes.append(helper.make_node("Concat", levels, ["output0"], axis=1))
        return self.model([self.tensor("output0", [1, anchors * self.cells, columns])])

    def columns(self) -> onnx.ModelProto:
        """YOLOv8 and its pose: `[1, 4 + C + 3K, n]`."""
        self.nodes.append(helper.make_node("Concat", self.column_parts(), ["output0"], axis=1))
        return self.model([self.tensor("output0", [1, 4 + self.classes + 3 * self.keypoints, self.cells])])

    def end_to_end(self, rows: int = 40, *, fractions: bool = False) -> onnx.ModelProto:
        """YOLOv10: `[1, rows, 6]`, chosen twice by TopK; boxes in pixels or in fractions of the picture."""
        box, scores = self.column_parts(corners=True)[:2]
        if fractions:
            box = self.op("Div", box, np.array([self.width, self.height] * 2).reshape(1, 4, 1))
        box, scores = (self.node("Transpose", [part], perm=[0, 2, 1]) for part in (box, scores))
        best = self.node("ReduceMax", [scores], axes=[2], keepdims=0)
        _, order = self.nodes_of("TopK", [best, self.integers([rows])], 2, axis=1)
        index = self.node("Unsqueeze", [order, self.integers([2])])
        chosen, theirs = (
            self.node("GatherElements", [part, self.node("Expand", [index, self.integers([1, 1, width])])], axis=1)
            for part, width in ((box, 4), (scores, self.classes))
        )
        flat = self.node("Flatten", [theirs], axis=1)
        top, place = self.nodes_of("TopK", [flat, self.integers([rows])], 2, axis=1)
        count = self.constant(np.array(self.classes, dtype=np.int64))
        row = self.node("Unsqueeze", [self.node("Div", [place, count]), self.integers([2])])
        where = self.node("Expand", [row, self.integers([1, 1, 4])])
        kind = self.node("Cast", [self.node("Mod", [place, count])], to=TensorProto.FLOAT)
        last = [self.node("Unsqueeze", [part, self.integers([2])]) for part in (top, kind)]
        parts = [self.node("GatherElements", [chosen, where], axis=1), *last]
        self.nodes.append(helper.make_node("Concat", parts, ["output0"], axis=2))
        return self.model([self.tensor("output0", [1, rows, 6])])

    def query_rows(self, rows: int = 40) -> onnx.ModelProto:
        """RT-DETR in one table `[1, rows, 4 + C]`: queries chosen by TopK, boxes and class scores by Sigmoid."""
        parts = [self.node("Transpose", [self.levels(count, 1.0)], perm=[0, 2, 1]) for count in (4, self.classes)]
        best = self.node("ReduceMax", [parts[1]], axes=[2], keepdims=0)
        _, order = self.nodes_of("TopK", [best, self.integers([rows])], 2, axis=1)
        index = self.node("Unsqueeze", [order, self.integers([2])])
        widths = [self.node("Expand", [index, self.integers([1, 1, count])]) for count in (4, self.classes)]
        chosen = [self.node("GatherElements", [*pair], axis=1) for pair in zip(parts, widths, strict=True)]
        self.nodes.append(
            helper.make_node("Concat", [self.node("Sigmoid", [one]) for one in chosen], ["output0"], axis=2)
        )
        return self.model([self.tensor("output0", [1, rows, 4 + self.classes])])

    def column_parts(self, *, corners: bool = False) -> list[str]:
        """Box, classes and keypoints, each `[1, columns, n]`, as an anchor-free head decodes them."""
        y, x, stride = self.grid()
        box = self.levels(4, 1.0)
        centre = self.op("Mul", self.op("Add", self.slice(box, 0, 2, 1), np.stack([x, y])[None]), stride)
        size = self.op("Mul", self.node("Exp", [self.slice(box, 2, 4, 1)]), stride)
        if corners:
            half = self.op("Mul", size, 0.5)
            parts = [self.node("Sub", [centre, half]), self.node("Add", [centre, half])]
        else:
            parts = [centre, size]
        joined = [self.node("Concat", parts, axis=1), self.node("Sigmoid", [self.levels(self.classes, 6.0)])]
        return [*joined, self.keypoint_part(x, y, stride)] if self.keypoints else joined

    def keypoint_part(self, x: np.ndarray, y: np.ndarray, stride: np.ndarray) -> str:
        raw = self.node("Reshape", [self.levels(3 * self.keypoints, 2.0), self.integers([1, self.keypoints, 3, -1])])
        place = self.op("Add", self.op("Mul", self.slice(raw, 0, 2, 2), 2.0), np.stack([x, y])[None, None])
        score = self.node("Sigmoid", [self.slice(raw, 2, 3, 2)])
        joined = self.node("Concat", [self.op("Mul", place, stride), score], axis=2)
        return self.node("Reshape", [joined, self.integers([1, 3 * self.keypoints, -1])])

    def grid(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre (y, x, in cells) and stride of each cell, level by level."""
        columns = []
        for stride in self.strides:
            y, x = np.mgrid[: self.height // stride, : self.width // stride]
            columns.append(np.stack([y.ravel() + 0.5, x.ravel() + 0.5, np.full(x.size, stride)]))
        y, x, stride = np.concatenate(columns, axis=1)
        return y, x, stride

    def levels(self, channels: int, spread: float) -> str:
        """A convolution on each level, `[1, channels, n]`."""
        flat = [
            self.node("Reshape", [self.conv(self.pooled(stride), channels, spread), self.integers([1, channels, -1])])
            for stride in self.strides
        ]
        return self.node("Concat", flat, axis=2)

    def pooled(self, stride: int) -> str:
        return self.node("AveragePool", ["images"], kernel_shape=[stride] * 2, strides=[stride] * 2)

    def conv(self, source: str, channels: int, spread: float) -> str:
        kernel = self.constant(self.random.normal(0, spread, (channels, 3, 1, 1)).astype(np.float32))
        bias = self.constant(self.random.normal(0, 0.5, channels).astype(np.float32))
        return self.node("Conv", [source, kernel, bias])

    def slice(self, source: str, start: int, end: int, axis: int) -> str:
        return self.node("Slice", [source, *(self.integers([value]) for value in (start, end, axis))])

    def op(self, op_type: str, source: str, value: object) -> str:
        return self.node(op_type, [source, self.constant(np.asarray(value, dtype=np.float32))])

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        return self.nodes_of(op_type, inputs, 1, **attributes)[0]

    def nodes_of(self, op_type: str, inputs: Sequence[str], count: int, **attributes: object) -> list[str]:
        names = [f"{op_type}_{len(self.nodes)}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, **attributes))
        return names

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def tensor(self, name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    def model(self, outputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "tiny", [self.picture], list(outputs), self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        helper.set_model_props(model, self.metadata)
        return model


def in_fractions(model: onnx.ModelProto, *, keypoints: int = 0) -> onnx.ModelProto:
    """Return a model whose table tells places in fractions of the picture, as Ultralytics' TFLite does."""
    (table,) = model.graph.output
    sides = [dim.dim_value for dim in table.type.tensor_type.shape.dim]
    columns = min(sides[1:])
    units = np.ones(columns, dtype=np.float32)
    units[:4] = 1 / WIDTH, 1 / HEIGHT, 1 / WIDTH, 1 / HEIGHT
    for first in range(columns - 3 * keypoints, columns, 3):
        units[first : first + 2] = 1 / WIDTH, 1 / HEIGHT
    shape = [1, columns, 1] if sides[1] == columns else [1, 1, columns]
    model.graph.initializer.append(numpy_helper.from_array(units.reshape(shape), "units"))
    return ending_with(model, table.name, "Mul", "units")


def channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that takes `[N, H, W, 3]`, as TensorFlow's do."""
    (picture,) = model.graph.input
    shape = picture.type.tensor_type.shape
    batch, channels, height, width = (dim.dim_value for dim in shape.dim)
    for dim, side in zip(shape.dim, (batch, height, width, channels), strict=True):
        dim.dim_value = side
    for node in model.graph.node:
        for index, source in enumerate(node.input):
            if source == picture.name:
                node.input[index] = "planes"
    model.graph.node.insert(0, helper.make_node("Transpose", [picture.name], ["planes"], perm=[0, 3, 1, 2]))
    return model


def ending_with(model: onnx.ModelProto, output: str, op_type: str, *inputs: str) -> onnx.ModelProto:
    """Return a model with one more node before an output."""
    for node in model.graph.node:
        for index, made in enumerate(node.output):
            if made == output:
                node.output[index] = f"{output}_before"
    model.graph.node.append(helper.make_node(op_type, [f"{output}_before", *inputs], [output]))
    return model
