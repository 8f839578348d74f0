"""What every head gives its two readers: the fused graph and the reference."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from converters.nms import Candidates
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows

SURE_KEYPOINT = 0.3
"""Keypoints of at least this score bound a person's box; where none has it, those as good as the best."""

_FAR_PX = 1e6


class Head(Protocol):
    """How a detector's or pose model's outputs are read."""

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding of the network's outputs."""
        ...

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode the outputs of one picture by hand."""
        ...


def head_rows(
    boxes: NDArray[np.floating],
    scores: NDArray[np.floating],
    classes: NDArray[np.int64],
    extras: NDArray[np.floating] | None = None,
) -> HeadRows:
    """Return rows that were computed in any precision."""
    return HeadRows(
        boxes.astype(np.float32),
        scores.astype(np.float32),
        classes.astype(np.int64),
        None if extras is None else extras.astype(np.float32),
    )


def append_person(graph: GraphBuilder, x: str, y: str, score: str, *, keypoints: int) -> Candidates:
    """Append one row from keypoints: their box, the mean of their scores, and themselves.

    Args:
        graph: To append to.
        x: Name of FLOAT `[b, keypoints, 1]`, canvas pixels.
        y: Likewise.
        score: Likewise, 0 to 1.
        keypoints: Their number.
    """
    floor = graph.op("Min", graph.reduce_max(score, axis=1), graph.scalar(SURE_KEYPOINT))
    sure = graph.op("Not", graph.op("Less", score, floor))
    place = graph.op("Concat", x, y, axis=2)
    upper = graph.reduce_max(graph.op("Where", sure, place, graph.scalar(-_FAR_PX)), axis=1)
    mirrored = graph.op("Where", sure, graph.op("Neg", place), graph.scalar(-_FAR_PX))
    lower = graph.op("Neg", graph.reduce_max(mirrored, axis=1))
    mean = graph.constant(np.full((keypoints, 1), 1 / keypoints, dtype=np.float32))
    scores = graph.op("MatMul", graph.reshape(score, 0, keypoints), mean)
    return Candidates(
        boxes=graph.op("Concat", lower, upper, axis=2),
        scores=scores,
        classes=graph.op("Cast", graph.op("Mul", scores, graph.scalar(0)), to=TensorProto.INT64),
        count=1,
        extras=graph.reshape(graph.op("Concat", place, score, axis=2), 0, 1, 3 * keypoints),
    )


def one_person(keypoints: NDArray[np.floating]) -> HeadRows:
    """Return the row of keypoints `[K, 3]` (x, y, score) by hand."""
    sure = keypoints[keypoints[:, 2] >= min(SURE_KEYPOINT, keypoints[:, 2].max()), :2]
    box = np.concatenate([sure.min(axis=0), sure.max(axis=0)])
    return head_rows(box[None], keypoints[:, 2].mean(keepdims=True), np.zeros(1, np.int64), keypoints.reshape(1, -1))
