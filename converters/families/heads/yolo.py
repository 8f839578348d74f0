"""The heads of the YOLO line: decoded boxes as centre and size, class scores, keypoints; one row for each cell.

Rows lie along the second axis (`[b, n, columns]`, YOLOv5 to v7) or the third (`[b, columns, n]`, from YOLOv8 on). Their
columns: cx, cy, w, h in pixels of the canvas or in fractions of the picture; objectness where the head has one; C class
scores, 0 to 1; then x, y (in the box's unit) and score of K keypoints. The score of a row is its best class, times
objectness.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloHead:
    """The table that a network ends in.

    Attributes:
        output: Its name in the graph.
        rows: One for each cell, or for each anchor of a cell.
        classes: Class scores of a row.
        keypoints: Of a row; 0 for a plain detector.
        objectness: Whether a column of it precedes the class scores.
        columns_first: Whether the table is `[b, columns, n]`.
        unit_px: Pixels that 1 stands for in x and in y: width and height of the picture where places go from 0 to 1.
    """

    output: str
    rows: int
    classes: int
    keypoints: int = 0
    objectness: bool = False
    columns_first: bool = False
    unit_px: tuple[int, int] = (1, 1)

    @property
    def first_class(self) -> int:
        """Column of the first class score."""
        return 5 if self.objectness else 4

    @property
    def first_keypoint(self) -> int:
        """Column after the last class score."""
        return self.first_class + self.classes

    @property
    def columns(self) -> int:
        """Of a row."""
        return self.first_keypoint + 3 * self.keypoints

    def append(self, graph: GraphBuilder) -> Candidates:
        """Score every row, then decode the best ones only."""
        table = network_tensor(self.output)
        count = min(MAX_CANDIDATES, self.rows)
        scores, order = graph.ops("TopK", [self._scores(graph, table), graph.constant([count])], outputs=2, axis=1)
        rows = self._gathered(graph, table, order, count)
        if self.unit_px != (1, 1):
            between = self.first_keypoint - 4
            units = [*self.unit_px * 2, *[1] * between, *(*self.unit_px, 1) * self.keypoints]
            rows = graph.op("Mul", rows, graph.constant(np.array(units, dtype=np.float32)))
        scored = graph.slice(rows, self.first_class, self.first_keypoint, axis=2)
        centre = graph.slice(rows, 0, 2, axis=2)
        half = graph.op("Mul", graph.slice(rows, 2, 4, axis=2), graph.scalar(0.5))
        extras = graph.slice(rows, self.first_keypoint, self.columns, axis=2) if self.keypoints else None
        return Candidates(
            boxes=graph.op("Concat", graph.op("Sub", centre, half), graph.op("Add", centre, half), axis=2),
            scores=scores,
            classes=graph.op("ArgMax", scored, axis=2, keepdims=0),
            count=count,
            extras=extras,
        )

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode the table of one picture by hand."""
        table = outputs[self.output].astype(np.float64)
        table = table.T if self.columns_first else table
        centre, size = table[:, :2] * self.unit_px, table[:, 2:4] * self.unit_px
        scored = table[:, self.first_class : self.first_keypoint]
        scores = scored.max(axis=1) * (table[:, 4] if self.objectness else 1.0)
        boxes = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        extras = None
        if self.keypoints:
            points = table[:, self.first_keypoint :].reshape(-1, self.keypoints, 3) * (*self.unit_px, 1)
            extras = points.reshape(len(table), -1)
        return head_rows(boxes, scores, scored.argmax(axis=1), extras)

    def places(self, outputs: Arrays) -> NDArray[np.float32]:
        """Return where the boxes of one picture lie, whatever the unit."""
        table = outputs[self.output]
        return (table.T if self.columns_first else table)[:, :2]

    def _scores(self, graph: GraphBuilder, table: str) -> str:
        """Append the score of every row: FLOAT `[b, rows]`."""
        across = 1 if self.columns_first else 2
        best = graph.reduce_max(graph.slice(table, self.first_class, self.first_keypoint, axis=across), axis=across)
        if self.objectness:
            best = graph.op("Mul", graph.slice(table, 4, 5, axis=across), best)
        return graph.reshape(best, 0, self.rows)

    def _gathered(self, graph: GraphBuilder, table: str, order: str, count: int) -> str:
        """Append the choice of rows, so that only they are turned round: FLOAT `[b, count, columns]`."""
        if not self.columns_first:
            return gather_rows(graph, table, order, rows=count, columns=self.columns)
        index = graph.op("Expand", graph.reshape(order, 0, 1, count), graph.constant([1, self.columns, 1]))
        return graph.op("Transpose", graph.op("GatherElements", table, index, axis=2), perm=[0, 2, 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEndHead:
    """A table `[b, n, 6 + 3K]` of finished rows: x1, y1, x2, y2, score, class, then x, y, score of keypoints.

    Attributes:
        output: Its name in the graph.
        rows: Of the table.
        keypoints: Of a row; 0 for a plain detector.
        unit_px: Pixels that 1 stands for in x and in y: width and height of the picture where places go from 0 to 1.
    """

    output: str
    rows: int
    keypoints: int = 0
    unit_px: tuple[int, int] = (1, 1)

    def append(self, graph: GraphBuilder) -> Candidates:
        """Take the columns apart."""
        table = network_tensor(self.output)
        if self.unit_px != (1, 1):
            units = [*self.unit_px * 2, 1, 1, *(*self.unit_px, 1) * self.keypoints]
            table = graph.op("Mul", table, graph.constant(np.array(units, dtype=np.float32)))
        classes = graph.op("Cast", graph.slice(table, 5, 6, axis=2), to=TensorProto.INT64)
        return Candidates(
            boxes=graph.slice(table, 0, 4, axis=2),
            scores=graph.reshape(graph.slice(table, 4, 5, axis=2), 0, self.rows),
            classes=graph.reshape(classes, 0, self.rows),
            count=self.rows,
            extras=graph.slice(table, 6, 6 + 3 * self.keypoints, axis=2) if self.keypoints else None,
        )

    def decode(self, outputs: Arrays) -> HeadRows:
        """Take the table of one picture apart by hand."""
        boxes, scores, classes, extras = np.split(outputs[self.output].copy(), [4, 5, 6], axis=1)
        for axis, pixels in enumerate(self.unit_px):
            boxes[:, axis::2] *= pixels
            extras[:, axis::3] *= pixels
        return head_rows(boxes, scores[:, 0], classes[:, 0].astype(np.int64), extras if self.keypoints else None)

    def places(self, outputs: Arrays) -> NDArray[np.float32]:
        """Return where the boxes of one picture lie, whatever the unit."""
        return outputs[self.output][:, :4]
