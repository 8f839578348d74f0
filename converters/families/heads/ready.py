"""Detections that the network suppressed itself: boxes, scores, classes.

Those of the TensorFlow Object Detection API (`DetectionModel.postprocess`) are three tables and a count, behind which
rows are void; boxes are y1, x1, y2, x2 as fractions of the canvas. MMDeploy's are two tables: `dets`, x1, y1, x2, y2 in
pixels with the score behind, 0 in void rows, and `labels`.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import Candidates
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyHead:
    """A head of two to four outputs.

    Attributes:
        boxes: Name of the output FLOAT `[b, rows, 4]`, or `[b, rows, 5]` with the score behind.
        scores: Name of the output FLOAT `[b, rows]`, 0 to 1; None where it is the boxes' fifth column.
        classes: Name of the output FLOAT or integer `[b, rows]`.
        number: Name of the output `[b]` that counts the rows in use; None where void rows have a score of 0.
        rows: Of the tables.
        first_class: Number of the first class: 1 where 0 means the background.
        unit_px: Pixels that 1 stands for in x and in y: width and height of the picture where places go from 0 to 1.
        x_first: Whether boxes are x1, y1, x2, y2, not y1, x1, y2, x2.
    """

    boxes: str
    scores: str | None
    classes: str
    number: str | None
    rows: int
    first_class: int
    unit_px: tuple[int, int]
    x_first: bool = False

    @property
    def _columns(self) -> list[int]:
        """Where x1, y1, x2, y2 are."""
        return [0, 1, 2, 3] if self.x_first else [1, 0, 3, 2]

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; boxes in canvas pixels, scores of void rows 0."""
        corners = graph.op("Gather", network_tensor(self.boxes), graph.constant(self._columns), axis=2)
        unit = np.array(self.unit_px * 2, dtype=np.float32)
        classes = graph.op("Cast", network_tensor(self.classes), to=TensorProto.INT64)
        return Candidates(
            boxes=graph.op("Mul", corners, graph.constant(unit)),
            scores=self._scores(graph),
            classes=graph.op("Sub", classes, graph.constant([self.first_class])),
            count=self.rows,
        )

    def _scores(self, graph: GraphBuilder) -> str:
        """Append the scores FLOAT `[b, rows]`, those of void rows 0."""
        if self.scores is None:
            scores = graph.reshape(graph.slice(network_tensor(self.boxes), 4, 5, axis=2), 0, self.rows)
        else:
            scores = network_tensor(self.scores)
        if self.number is None:
            return scores
        number = graph.op("Cast", graph.reshape(network_tensor(self.number), -1, 1), to=TensorProto.FLOAT)
        used = graph.op("Less", graph.constant(np.arange(self.rows, dtype=np.float32)[None]), number)
        return graph.op("Where", used, scores, graph.scalar(0))

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        used = self.rows if self.number is None else round(float(outputs[self.number]))
        table = outputs[self.boxes][:used]
        first, second, third, fourth = table.T[:4]
        x1, y1, x2, y2 = (first, second, third, fourth) if self.x_first else (second, first, fourth, third)
        across, down = self.unit_px
        boxes = np.stack([x1 * across, y1 * down, x2 * across, y2 * down], axis=1)
        classes = outputs[self.classes][:used].astype(np.int64) - self.first_class
        return head_rows(boxes, table[:, 4] if self.scores is None else outputs[self.scores][:used], classes)
