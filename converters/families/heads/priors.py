"""Boxes and landmarks relative to priors (RetinaFace): centres shifted, sizes scaled by an exponential.

Deng et al., "RetinaFace" (arXiv 1905.00641), with the priors and variances of biubug6's Pytorch_Retinaface
(`prior_box.py`, `box_utils.py`), which SSD introduced (Liu et al., arXiv 1512.02325, section 2.2).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.families.heads.head import head_rows
from converters.fuse import network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows

PRIOR_SIZES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Stride → sides of the square priors at each of its cells, in pixels."""
CENTRE_VARIANCE = 0.1
SIZE_VARIANCE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorHead:
    """A head of three outputs, for one class.

    Attributes:
        boxes: Name of the output FLOAT `[b, priors, 4]`.
        scores: Name of the output FLOAT `[b, priors, 2]`: nothing, face; through a Softmax.
        landmarks: Name of the output FLOAT `[b, priors, 2 * points]`.
        points: Landmarks of a face.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
    """

    boxes: str
    scores: str
    landmarks: str
    points: int
    height: int
    width: int

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding of the best rows; a landmark's score is its face's."""
        priors = priors_of(self.height, self.width)
        count = min(MAX_CANDIDATES, len(priors))
        faces = graph.reshape(graph.slice(network_tensor(self.scores), 1, 2, axis=2), 0, len(priors))
        scores, order = graph.ops("TopK", [faces, graph.constant([count])], outputs=2, axis=1)
        raw = graph.op("Concat", network_tensor(self.boxes), network_tensor(self.landmarks), axis=2)
        raw = gather_rows(graph, raw, order, rows=count, columns=4 + 2 * self.points)
        prior = graph.op("Gather", graph.constant(priors), order, axis=0)
        centre, size = graph.slice(prior, 0, 2, axis=2), graph.slice(prior, 2, 4, axis=2)
        boxes = _append_boxes(graph, raw, centre, size)
        extras: list[str] = []
        for start in range(4, 4 + 2 * self.points, 2):
            extras += [_shifted(graph, raw, start, centre, size), graph.reshape(scores, 0, count, 1)]
        classes = graph.op("Mul", order, graph.constant([0]))
        keypoints = graph.op("Concat", *extras, axis=2)
        return Candidates(boxes=boxes, scores=scores, classes=classes, count=count, extras=keypoints)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        x, y, w, h = np.concatenate([self._level(stride) for stride in PRIOR_SIZES]).T
        shift, scores = outputs[self.boxes].astype(np.float64), outputs[self.scores][:, 1]
        cx, cy = x + shift[:, 0] * CENTRE_VARIANCE * w, y + shift[:, 1] * CENTRE_VARIANCE * h
        w2, h2 = w * np.exp(shift[:, 2] * SIZE_VARIANCE) / 2, h * np.exp(shift[:, 3] * SIZE_VARIANCE) / 2
        points = np.empty((len(x), self.points, 3))
        raw = outputs[self.landmarks].reshape(len(x), self.points, 2)
        points[..., 0] = x[:, None] + raw[..., 0] * CENTRE_VARIANCE * w[:, None]
        points[..., 1] = y[:, None] + raw[..., 1] * CENTRE_VARIANCE * h[:, None]
        points[..., 2] = scores[:, None]
        boxes = np.stack([cx - w2, cy - h2, cx + w2, cy + h2], axis=1)
        return head_rows(boxes, scores, np.zeros(len(x), np.int64), points.reshape(len(x), -1))

    def _level(self, stride: int) -> NDArray[np.float64]:
        """Return a stride's priors `[n, 4]` for the reference, which shares nothing with the graph."""
        across, sizes = -(-self.width // stride), PRIOR_SIZES[stride]
        cell, which = np.divmod(np.arange(across * -(-self.height // stride) * len(sizes)), len(sizes))
        size = np.array(sizes)[which]
        return np.stack([cell % across * stride + stride / 2, cell // across * stride + stride / 2, size, size], axis=1)


def priors_of(height: int, width: int) -> NDArray[np.float32]:
    """Return the priors `[n, 4]` (centre x, centre y, width, height; canvas pixels) in the order of the rows."""
    priors: list[tuple[float, float, int, int]] = []
    for stride, sizes in PRIOR_SIZES.items():
        for row, column in np.ndindex(-(-height // stride), -(-width // stride)):
            priors += [((column + 0.5) * stride, (row + 0.5) * stride, size, size) for size in sizes]
    return np.array(priors, dtype=np.float32)


def _append_boxes(graph: GraphBuilder, raw: str, centre: str, size: str) -> str:
    middle = _shifted(graph, raw, 0, centre, size)
    grown = graph.op("Exp", graph.op("Mul", graph.slice(raw, 2, 4, axis=2), graph.scalar(SIZE_VARIANCE)))
    half = graph.op("Mul", graph.op("Mul", grown, size), graph.scalar(0.5))
    return graph.op("Concat", graph.op("Sub", middle, half), graph.op("Add", middle, half), axis=2)


def _shifted(graph: GraphBuilder, raw: str, start: int, centre: str, size: str) -> str:
    """Return `[b, n, 2]`: columns `start:start + 2` as a shift from the priors' centres."""
    shift = graph.op("Mul", graph.slice(raw, start, start + 2, axis=2), graph.scalar(CENTRE_VARIANCE))
    return graph.op("Add", centre, graph.op("Mul", shift, size))
