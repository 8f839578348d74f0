"""Candidates to the contract's `detections` and `num_detections`, as standard ONNX operators.

`NonMaxSuppression` answers with a flat list of (batch, class, box) over the whole batch. Its scores are scattered
back into one row per picture and sorted there, so that every index of a batch gets its own answer, without a loop.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from converters.onnx_graph import GraphBuilder
from converters.spec import COUNT_NAME, DETECTIONS_NAME, SCORE_THRESHOLD_NAME, ModelSpec

MAX_CANDIDATES = 1000
"""Boxes of one picture, best scores first, that suppression looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Names of the tensors that suppression starts from; each box belongs to exactly one class.

    Attributes:
        boxes: FLOAT `[b, count, 4]`: x1, y1, x2, y2 in canvas pixels.
        scores: FLOAT `[b, count]`, 0 to 1.
        classes: INT64 `[b, count]`.
        count: Boxes of each picture.
        extras: FLOAT `[b, count, 3K]`: x, y (canvas pixels) and score of each keypoint, carried along with the box;
            None for a plain detector.
    """

    boxes: str
    scores: str
    classes: str
    count: int
    extras: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """What a classifier's head ends in.

    Attributes:
        scores: Name of FLOAT `[b, C]`, 0 to 1.
    """

    scores: str


def append_nms(graph: GraphBuilder, candidates: Candidates, spec: ModelSpec) -> None:
    """Append class-aware suppression, or the threshold alone where `spec.nms_iou` is 1.

    Makes the outputs `detections` and `num_detections`.
    """
    keep = _kept_scores if spec.nms_iou < 1 else _scores_above
    kept = keep(graph, candidates, spec)
    rows = min(spec.max_detections, candidates.count)
    best, order = graph.ops("TopK", [kept, graph.constant([rows])], outputs=2, axis=1)
    present = graph.op("Greater", best, graph.scalar(0))
    _append_count(graph, present, rows)
    boxes = gather_rows(graph, candidates.boxes, order, rows=rows, columns=4)
    classes = graph.op("Cast", graph.op("GatherElements", candidates.classes, order, axis=1), to=TensorProto.FLOAT)
    columns = [boxes, graph.reshape(best, 0, rows, 1), graph.reshape(classes, 0, rows, 1)]
    if candidates.extras is not None:
        columns.append(gather_rows(graph, candidates.extras, order, rows=rows, columns=spec.row_width - 6))
    table = graph.op("Concat", *columns, axis=2)
    missing = spec.max_detections - rows
    if missing:
        table = graph.op("Pad", table, graph.constant([0, 0, 0, 0, missing, 0]))
        present = graph.op("Greater", graph.slice(table, 4, 5, axis=2), graph.scalar(0))
    present = graph.reshape(present, 0, spec.max_detections, 1)
    graph.op("Where", present, table, graph.scalar(0), out=DETECTIONS_NAME)


def gather_rows(graph: GraphBuilder, table: str, order: str, *, rows: int, columns: int) -> str:
    """Return `table[b, order[b, i], :]`: FLOAT `[b, n, columns]` and INT64 `[b, rows]` in, `[b, rows, columns]` out."""
    index = graph.op("Expand", graph.reshape(order, 0, rows, 1), graph.constant([1, 1, columns]))
    return graph.op("GatherElements", table, index, axis=1)


def _kept_scores(graph: GraphBuilder, candidates: Candidates, spec: ModelSpec) -> str:
    """Return FLOAT `[b, count]`: the score of a box that survives, 0 for the others."""
    count, classes = candidates.count, max(1, len(spec.labels))
    wanted = graph.constant(np.arange(classes, dtype=np.int64).reshape(1, classes, 1))
    mine = graph.op("Equal", graph.reshape(candidates.classes, 0, 1, count), wanted)
    per_class = graph.op("Where", mine, graph.reshape(candidates.scores, 0, 1, count), graph.scalar(0))
    selected = graph.op(
        "NonMaxSuppression",
        candidates.boxes,
        per_class,
        graph.constant([spec.max_detections]),
        graph.constant(np.array([spec.nms_iou], dtype=np.float32)),
        graph.named_constant(SCORE_THRESHOLD_NAME, np.array([spec.score_threshold], dtype=np.float32)),
    )
    place = graph.op("Gather", selected, graph.constant([0, 2]), axis=1)
    nothing = graph.op("Mul", candidates.scores, graph.scalar(0))
    return graph.op("ScatterND", nothing, place, graph.op("GatherND", candidates.scores, place))


def _scores_above(graph: GraphBuilder, candidates: Candidates, spec: ModelSpec) -> str:
    """Return FLOAT `[b, count]`: the scores above the threshold, 0 for the others."""
    floor = graph.named_constant(SCORE_THRESHOLD_NAME, np.array([spec.score_threshold], dtype=np.float32))
    above = graph.op("Greater", candidates.scores, floor)
    return graph.op("Where", above, candidates.scores, graph.scalar(0))


def _append_count(graph: GraphBuilder, present: str, rows: int) -> None:
    """Count the rows of each picture: a product with a column of ones, which reads the same in every opset."""
    ones = graph.constant(np.ones((rows, 1), dtype=np.float32))
    counted = graph.op("MatMul", graph.op("Cast", present, to=TensorProto.FLOAT), ones)
    graph.op("Cast", counted, to=TensorProto.INT32, out=COUNT_NAME)
