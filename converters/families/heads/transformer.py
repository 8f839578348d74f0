"""Object queries (DETR, RT-DETR and their kin): one class and one box each, no suppression needed.

Boxes are centre, width and height as fractions of the canvas, through their Sigmoid already. Class scores are logits:
of a Softmax with "no object" as its last class in DETR (Carion et al., arXiv 2005.12872, section 3.1), of a Sigmoid in
those trained with the focal loss (Deformable DETR, RT-DETR, D-FINE, RF-DETR).
"""

from dataclasses import dataclass

import numpy as np

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryHead:
    """A head of two outputs.

    Attributes:
        logits: Name of the output FLOAT `[b, queries, channels]`.
        boxes: Name of the output FLOAT `[b, queries, 4]`.
        queries: Their number.
        channels: Of the class output; with `no_object`, one more than there are classes.
        no_object: Whether scores come from a Softmax whose last channel means "nothing", else from a Sigmoid.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
    """

    logits: str
    boxes: str
    queries: int
    channels: int
    no_object: bool
    height: int
    width: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.channels - 1 if self.no_object else self.channels

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; boxes in canvas pixels."""
        table = network_tensor(self.logits)
        if self.no_object:
            # over the last of three axes, which reads the same before and after opset 13
            table = graph.slice(graph.op("Softmax", table, axis=2), 0, self.classes, axis=2)
        best = graph.reshape(graph.reduce_max(table, axis=2), 0, self.queries)
        scores = best if self.no_object else graph.op("Sigmoid", best)
        classes = graph.op("ArgMax", table, axis=2, keepdims=0)
        count = min(MAX_CANDIDATES, self.queries)
        scores, order = graph.ops("TopK", [scores, graph.constant([count])], outputs=2, axis=1)
        boxes = gather_rows(graph, network_tensor(self.boxes), order, rows=count, columns=4)
        boxes = graph.op("Mul", boxes, graph.constant(self._canvas()))
        half = graph.op("Mul", graph.slice(boxes, 2, 4, axis=2), graph.scalar(0.5))
        centre = graph.slice(boxes, 0, 2, axis=2)
        return Candidates(
            boxes=graph.op("Concat", graph.op("Sub", centre, half), graph.op("Add", centre, half), axis=2),
            scores=scores,
            classes=graph.op("GatherElements", classes, order, axis=1),
            count=count,
        )

    def _canvas(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.array([self.width, self.height] * 2, dtype=np.float32)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        table = outputs[self.logits].astype(np.float64)
        if self.no_object:
            powers = np.exp(table - table.max(axis=1, keepdims=True))
            scores = (powers / powers.sum(axis=1, keepdims=True))[:, :-1]
        else:
            scores = 1 / (1 + np.exp(-table))
        x, y, w, h = outputs[self.boxes].astype(np.float64).T
        sides = (x - w / 2) * self.width, (y - h / 2) * self.height, (x + w / 2) * self.width, (y + h / 2) * self.height
        return head_rows(np.stack(sides, axis=1), scores.max(axis=1), scores.argmax(axis=1))
