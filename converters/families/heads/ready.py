"""Detections that the network suppressed itself (SSD of the TensorFlow Object Detection API): boxes, scores, classes.

Boxes are y1, x1, y2, x2 as fractions of the canvas; classes are numbers in FLOAT, starting at `first_class`; the rows
behind the count are void. The three tables and the count are `DetectionModel.postprocess`'s of that project.
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
    """A head of four outputs.

    Attributes:
        boxes: Name of the output FLOAT `[b, rows, 4]`.
        scores: Name of the output FLOAT `[b, rows]`, 0 to 1.
        classes: Name of the output FLOAT or integer `[b, rows]`.
        number: Name of the output `[b]` that counts the rows in use.
        rows: Of the tables.
        first_class: Number of the first class: 1 where 0 means the background.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
    """

    boxes: str
    scores: str
    classes: str
    number: str
    rows: int
    first_class: int
    height: int
    width: int

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; boxes in canvas pixels, scores of void rows 0."""
        corners = graph.op("Gather", network_tensor(self.boxes), graph.constant([1, 0, 3, 2]), axis=2)
        canvas = np.array([self.width, self.height] * 2, dtype=np.float32)
        number = graph.op("Cast", graph.reshape(network_tensor(self.number), -1, 1), to=TensorProto.FLOAT)
        used = graph.op("Less", graph.constant(np.arange(self.rows, dtype=np.float32)[None]), number)
        classes = graph.op("Cast", network_tensor(self.classes), to=TensorProto.INT64)
        return Candidates(
            boxes=graph.op("Mul", corners, graph.constant(canvas)),
            scores=graph.op("Where", used, network_tensor(self.scores), graph.scalar(0)),
            classes=graph.op("Sub", classes, graph.constant([self.first_class])),
            count=self.rows,
        )

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        used = round(float(outputs[self.number]))
        y1, x1, y2, x2 = outputs[self.boxes][:used].T
        boxes = np.stack([x1 * self.width, y1 * self.height, x2 * self.width, y2 * self.height], axis=1)
        classes = outputs[self.classes][:used].astype(np.int64) - self.first_class
        return head_rows(boxes, outputs[self.scores][:used], classes)
