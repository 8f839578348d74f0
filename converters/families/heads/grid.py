"""One-scale grid head (FastestDet): one object at most in each cell, box relative to the whole canvas.

Channels of the output `[b, 5 + C, rows, columns]`: objectness (Sigmoid done), four raw box numbers, C class
probabilities (Softmax done). As FastestDet's `utils/tool.py` (`handle_preds`) decodes them: score =
objectness^0.6 * class^0.4, centre = cell + tanh, width and height = sigmoid, all as fractions of the grid or canvas.
"""

from dataclasses import dataclass

import numpy as np

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows

OBJECTNESS_POWER = 0.6
CLASS_POWER = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class GridHead:
    """A head of one output.

    Attributes:
        output: Name of the output FLOAT `[b, 5 + classes, rows, columns]`.
        rows: Cells down.
        columns: Cells across.
        classes: Number of classes.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
    """

    output: str
    rows: int
    columns: int
    classes: int
    height: int
    width: int

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; boxes in canvas pixels."""
        cells, channels = self.rows * self.columns, 5 + self.classes
        table = graph.reshape(network_tensor(self.output), 0, channels, cells)
        best = graph.reduce_max(graph.slice(table, 5, channels, axis=1), axis=1)
        objectness = graph.op("Pow", graph.slice(table, 0, 1, axis=1), graph.scalar(OBJECTNESS_POWER))
        scores = graph.op("Mul", objectness, graph.op("Pow", best, graph.scalar(CLASS_POWER)))
        count = min(MAX_CANDIDATES, cells)
        flat = graph.reshape(scores, 0, cells)
        scores, order = graph.ops("TopK", [flat, graph.constant([count])], outputs=2, axis=1)
        rows = graph.op("Transpose", table, perm=[0, 2, 1])
        rows = gather_rows(graph, rows, order, rows=count, columns=channels)
        classes = graph.op("ArgMax", graph.slice(rows, 5, channels, axis=2), axis=2, keepdims=0)
        return Candidates(boxes=self._boxes(graph, rows, order), scores=scores, classes=classes, count=count)

    def _boxes(self, graph: GraphBuilder, rows: str, order: str) -> str:
        y, x = np.divmod(np.arange(self.rows * self.columns), self.columns)
        cells = graph.constant(np.stack([x, y], axis=1).astype(np.float32))
        pitch = np.array([self.width / self.columns, self.height / self.rows], dtype=np.float32)
        half_size = np.array([self.width / 2, self.height / 2], dtype=np.float32)
        centre = graph.op("Add", graph.op("Tanh", graph.slice(rows, 1, 3, axis=2)), graph.op("Gather", cells, order))
        centre = graph.op("Mul", centre, graph.constant(pitch))
        half = graph.op("Mul", graph.op("Sigmoid", graph.slice(rows, 3, 5, axis=2)), graph.constant(half_size))
        return graph.op("Concat", graph.op("Sub", centre, half), graph.op("Add", centre, half), axis=2)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        planes = outputs[self.output].astype(np.float64)
        down, across = np.indices(planes.shape[1:])
        x = (across + np.tanh(planes[1])) / self.columns
        y = (down + np.tanh(planes[2])) / self.rows
        w, h = (1 / (1 + np.exp(-planes[index])) for index in (3, 4))
        sides = (x - w / 2) * self.width, (y - h / 2) * self.height, (x + w / 2) * self.width, (y + h / 2) * self.height
        scores = planes[0] ** OBJECTNESS_POWER * planes[5:].max(axis=0) ** CLASS_POWER
        boxes = np.stack([side.ravel() for side in sides], axis=1)
        return head_rows(boxes, scores.ravel(), planes[5:].argmax(axis=0).ravel())
