"""Generalised focal loss heads (GFL, NanoDet): each side of a box is the mean of a distribution over bins.

Li et al., "Generalized Focal Loss" (arXiv 2006.04388), equation 5: distance = sum over i of i * softmax(bins)_i, in
strides, from the cell's anchor to the left, top, right and bottom. Class scores went through a Sigmoid already.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows

SIDES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One stride's outputs.

    Attributes:
        scores: Name of the output FLOAT `[b, cells, classes]`.
        bins: Name of the output FLOAT `[b, cells, 4 * bins]`; the same name where one table holds both side by side.
    """

    scores: str
    bins: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionHead:
    """A head of one table for all strides, or of two tables for each.

    Attributes:
        levels: One for each stride, or a single one for all, whose rows follow the strides in order.
        strides: In pixels, in the order of the rows.
        anchor: Where in its cell a box is measured from: 0 the top left corner, 0.5 the middle.
        classes: Number of classes.
        bins: Of each side.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
    """

    levels: tuple[Level, ...]
    strides: tuple[int, ...]
    anchor: float
    classes: int
    bins: int
    height: int
    width: int

    @property
    def rows(self) -> int:
        """Cells of all strides."""
        return sum(cells_of(self.height, self.width, stride) for stride in self.strides)

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding: score every row, then measure the boxes of the best ones only."""
        table = self._joined(graph, [level.scores for level in self.levels], 0, self.classes)
        count = min(MAX_CANDIDATES, self.rows)
        best = graph.reshape(graph.reduce_max(table, axis=2), 0, self.rows)
        scores, order = graph.ops("TopK", [best, graph.constant([count])], outputs=2, axis=1)
        classes = graph.op("GatherElements", graph.op("ArgMax", table, axis=2, keepdims=0), order, axis=1)
        width = SIDES * self.bins
        start = self.classes if self.levels[0].bins == self.levels[0].scores else 0
        bins = self._joined(graph, [level.bins for level in self.levels], start, start + width)
        bins = gather_rows(graph, bins, order, rows=count, columns=width)
        boxes = self._boxes(graph, bins, order, count)
        return Candidates(boxes=boxes, scores=scores, classes=classes, count=count)

    def _joined(self, graph: GraphBuilder, outputs: list[str], start: int, end: int) -> str:
        """Return columns `start:end` of the outputs, one below the other."""
        parts = [graph.slice(network_tensor(output), start, end, axis=2) for output in outputs]
        return graph.op("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def _boxes(self, graph: GraphBuilder, bins: str, order: str, count: int) -> str:
        """Return `[b, count, 4]` in canvas pixels from bins `[b, count, 4 * bins]` of rows `order`."""
        shares = graph.op("Softmax", graph.reshape(bins, -1, self.bins), axis=1)
        steps = graph.constant(np.arange(self.bins, dtype=np.float32)[:, None])
        # batch and row stay one axis until here, so that no shape has to be computed
        far = graph.reshape(graph.op("MatMul", shares, steps), -1, count, SIDES)
        anchors, strides = self._anchors()
        far = graph.op("Mul", far, graph.op("Gather", graph.constant(strides[:, None]), order, axis=0))
        anchor = graph.op("Gather", graph.constant(anchors), order, axis=0)
        lower = graph.op("Sub", anchor, graph.slice(far, 0, 2, axis=2))
        upper = graph.op("Add", anchor, graph.slice(far, 2, 4, axis=2))
        return graph.op("Concat", lower, upper, axis=2)

    def _anchors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return anchors `[rows, 2]` (x, y) and strides `[rows]`, both in pixels."""
        anchors: list[NDArray[np.float32]] = []
        strides: list[NDArray[np.float32]] = []
        for stride in self.strides:
            y, x = np.mgrid[: -(-self.height // stride), : -(-self.width // stride)]
            anchors.append(((np.stack([x.ravel(), y.ravel()], axis=1) + self.anchor) * stride).astype(np.float32))
            strides.append(np.full(x.size, stride, dtype=np.float32))
        return np.concatenate(anchors), np.concatenate(strides)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference: a row at a time, side by side."""
        scores = np.concatenate([outputs[level.scores][:, : self.classes] for level in self.levels])
        bins = np.concatenate([outputs[level.bins][:, -SIDES * self.bins :] for level in self.levels])
        powers = np.exp(bins.astype(np.float64).reshape(len(bins), SIDES, self.bins))
        mean = (powers * np.arange(self.bins)).sum(axis=2) / powers.sum(axis=2)
        boxes: list[NDArray[np.float64]] = []
        start = 0
        for stride in self.strides:
            across, cells = -(-self.width // stride), cells_of(self.height, self.width, stride)
            index = np.arange(cells)
            x, y = (index % across + self.anchor) * stride, (index // across + self.anchor) * stride
            left, top, right, bottom = mean[start : start + cells].T * stride
            boxes.append(np.stack([x - left, y - top, x + right, y + bottom], axis=1))
            start += cells
        return head_rows(np.concatenate(boxes), scores.max(axis=1), scores.argmax(axis=1))


def cells_of(height: int, width: int, stride: int) -> int:
    """Return the cells of a stride on a canvas; one that is cut by the edge counts."""
    return -(-height // stride) * -(-width // stride)
