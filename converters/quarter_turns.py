"""People on the floor: a detector looks at each frame three times, upright and turned a quarter to each side.

Detectors learn from people who stand; turned by a quarter, a lying person is one. So the view that finds a person tells
lying from standing. The turns lie in front of any fused detector, on its NV12 frames, and the merging of the three
answers behind it: its family has no part in it (docs/adr/0070).

In each view the detector suppresses as ever. Then persons of different views compete where the smaller of two boxes
lies by more than `SAME_PERSON` inside the other: a turned one needs 1 / `TURNED_WEIGHT` times the score of an upright
one to win, and the better one wins among the turned. Other classes are taken from the upright view alone.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto

from converters.errors import UsageError
from converters.fuse import assemble, opset_of
from converters.nms import gather_rows
from converters.onnx_graph import GraphBuilder
from converters.quarter_turns_reference import ThreeViews
from converters.spec import COUNT_NAME, DETECTIONS_NAME, INPUT_NAME, SCORE_THRESHOLD_NAME, BuiltModel, ModelSpec, Task

PERSON = "person"
LYING = "person_lying"
SAME_PERSON = 0.5
"""Share of the smaller of two boxes inside the other from which on both are one person."""
TURNED_WEIGHT = 0.75
"""What a score of a turned view counts beside one of the upright view, and against the score threshold."""

_PREFIX = "quarter_turns"
_VIEWS = 3
_MAX_ROWS = 1000


@dataclass(frozen=True, slots=True)
class _People:
    """Boxes that compete: FLOAT `[b, count, 4]`, and their scores FLOAT `[b, count, 1]`, 0 for what is out of it."""

    boxes: str
    scores: str
    count: int


def with_quarter_turns(built: BuiltModel) -> BuiltModel:
    """Return a detector that also finds people who lie, under one more label, `person_lying`.

    Raises:
        UsageError: It gives no boxes, its canvas isn't square, no label is `person`, or its table is too long.
    """
    spec = built.spec
    if spec.task is Task.CLASSIFY:
        raise UsageError("a quarter turn needs boxes: a classifier has none")
    if spec.height != spec.width:
        raise UsageError(f"a quarter turn needs a square canvas, this one is {spec.width} x {spec.height}")
    if PERSON not in spec.labels or LYING in spec.labels:
        raise UsageError(
            f"a quarter turn needs the label {PERSON!r} once and no {LYING!r}; the labels are {', '.join(spec.labels)}"
        )
    if spec.max_detections > _MAX_ROWS:
        raise UsageError(f"a quarter turn compares every row with every other: at most {_MAX_ROWS} max detections")
    spec = replace(spec, labels=(*spec.labels, LYING))
    views = ThreeViews(spec, person=spec.labels.index(PERSON), turned_weight=TURNED_WEIGHT, same_person=SAME_PERSON)
    pictures = built.picture_reference
    return replace(
        built,
        model=_with_views(built.model, spec),
        spec=spec,
        source=replace(built.source, details=(*built.source.details, ("view", "rot90"))),
        reference=partial(views.of_nv12, built.reference),
        picture_reference=pictures and partial(views.of_bgr, pictures),
    )


def _with_views(model: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Put the turns in front of a fused model and the merging behind it."""
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    opset = opset_of(inner)
    front = GraphBuilder(prefix=f"{_PREFIX}/views", opset=opset)
    views = append_views(front, spec)
    renamed = {INPUT_NAME: views} | {name: f"{_PREFIX}/{name}" for name in (DETECTIONS_NAME, COUNT_NAME)}
    for node in inner.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    back = GraphBuilder(prefix=f"{_PREFIX}/merge", opset=opset)
    append_merge(back, renamed[DETECTIONS_NAME], spec)
    return assemble(
        [*front.nodes, *inner.graph.node, *back.nodes],
        [*inner.graph.initializer, *front.initializers, *back.initializers],
        spec,
        opset_imports=list(inner.opset_import),
        ir=inner.ir_version,
    )


def append_views(graph: GraphBuilder, spec: ModelSpec) -> str:
    """Return FLOAT `[3b, H * 3 / 2, W]`: of each frame the upright view, then those turned left and right.

    FLOAT, because TensorRT takes bytes as inputs only; what reads frames casts them to FLOAT first thing, which then
    does nothing.
    """
    rows, side = spec.frame_shape
    frames = graph.op("Cast", INPUT_NAME, to=TensorProto.FLOAT)
    luma = graph.reshape(graph.slice(frames, 0, side, axis=1), 0, side, side, 1)
    chroma = graph.reshape(graph.slice(frames, side, rows, axis=1), 0, side // 2, side // 2, 2)
    views = [graph.reshape(frames, 0, 1, rows, side)]
    for turned in (_turned_left, _turned_right):
        halves = [turned(graph, luma, side), turned(graph, chroma, side // 2)]
        views.append(graph.op("Concat", *(graph.reshape(half, 0, 1, -1, side) for half in halves), axis=2))
    return graph.reshape(graph.op("Concat", *views, axis=1), -1, rows, side)


def _turned_left(graph: GraphBuilder, plane: str, size: int) -> str:
    """Turn `[b, size, size, c]` counter-clockwise."""
    return _rows_reversed(graph, graph.op("Transpose", plane, perm=[0, 2, 1, 3]), size)


def _turned_right(graph: GraphBuilder, plane: str, size: int) -> str:
    """Turn `[b, size, size, c]` clockwise."""
    return graph.op("Transpose", _rows_reversed(graph, plane, size), perm=[0, 2, 1, 3])


def _rows_reversed(graph: GraphBuilder, plane: str, size: int) -> str:
    return graph.op("Gather", plane, graph.constant(np.arange(size, dtype=np.int64)[::-1]), axis=1)


def append_merge(graph: GraphBuilder, answers: str, spec: ModelSpec) -> None:
    """Merge `[3b, m, 6 + 3K]` into the outputs of the contract."""
    rows, width = spec.max_detections, spec.row_width
    views = graph.reshape(answers, -1, _VIEWS, rows, width)
    upright, *turned = (
        graph.reshape(graph.slice(views, view, view + 1, axis=1), 0, rows, width) for view in range(_VIEWS)
    )
    lying = graph.op("Concat", _from_left(graph, turned[0], spec), _from_right(graph, turned[1], spec), axis=1)
    scores = graph.op("Concat", *_scores_that_stay(graph, upright, lying, spec), axis=1)
    scores = graph.reshape(scores, 0, _VIEWS * rows)
    best, order = graph.ops("TopK", [scores, graph.constant([rows])], outputs=2, axis=1)
    table = gather_rows(graph, graph.op("Concat", upright, lying, axis=1), order, rows=rows, columns=width)
    present = graph.reshape(graph.op("Greater", best, graph.scalar(0)), 0, rows, 1)
    graph.op("Where", present, table, graph.scalar(0), out=DETECTIONS_NAME)
    ones = graph.constant(np.ones((1, rows), dtype=np.float32))
    counted = graph.op("MatMul", ones, graph.op("Cast", present, to=TensorProto.FLOAT))
    graph.op("Cast", graph.reshape(counted, 0, 1), to=TensorProto.INT32, out=COUNT_NAME)


def _from_left(graph: GraphBuilder, rows: str, spec: ModelSpec) -> str:
    """Bring rows of the view turned left back: `x = width - y'`, `y = x'`."""
    points = range(6, spec.row_width, 3)
    source, sign, offset = _unmoved(spec)
    for x, y in ((0, 3), (2, 1), *((point, point + 1) for point in points)):
        source[x], sign[x], offset[x] = y, -1, spec.width
    for y, x in ((1, 0), (3, 2), *((point + 1, point) for point in points)):
        source[y] = x
    return _moved(graph, rows, spec, source, sign, offset)


def _from_right(graph: GraphBuilder, rows: str, spec: ModelSpec) -> str:
    """Bring rows of the view turned right back: `x = y'`, `y = height - x'`."""
    points = range(6, spec.row_width, 3)
    source, sign, offset = _unmoved(spec)
    for y, x in ((1, 2), (3, 0), *((point + 1, point) for point in points)):
        source[y], sign[y], offset[y] = x, -1, spec.height
    for x, y in ((0, 1), (2, 3), *((point, point + 1) for point in points)):
        source[x] = y
    return _moved(graph, rows, spec, source, sign, offset)


def _unmoved(spec: ModelSpec) -> tuple[list[int], list[float], list[float]]:
    """Return source, sign and offset of each column of a row that stays as it is but for its label."""
    sign, offset = [1.0] * spec.row_width, [0.0] * spec.row_width
    sign[5], offset[5] = 0.0, float(spec.labels.index(LYING))
    return list(range(spec.row_width)), sign, offset


def _moved(
    graph: GraphBuilder, rows: str, spec: ModelSpec, source: list[int], sign: list[float], offset: list[float]
) -> str:
    """Return `rows[..., source] * sign + offset` for persons, zeros for what else a turned view shows."""
    moved = graph.op("Gather", rows, graph.constant(source), axis=2)
    moved = graph.op("Mul", moved, graph.constant(np.array(sign, dtype=np.float32)))
    moved = graph.op("Add", moved, graph.constant(np.array(offset, dtype=np.float32)))
    return graph.op("Where", _is_person(graph, rows, spec), moved, graph.scalar(0))


def _is_person(graph: GraphBuilder, rows: str, spec: ModelSpec) -> str:
    return graph.op("Equal", graph.slice(rows, 5, 6, axis=2), graph.scalar(spec.labels.index(PERSON)))


def _scores_that_stay(graph: GraphBuilder, upright: str, lying: str, spec: ModelSpec) -> tuple[str, str]:
    """Return the scores FLOAT `[b, m, 1]` of upright and `[b, 2m, 1]` of lying rows, 0 for those that lost."""
    person = _is_person(graph, upright, spec)
    score = graph.slice(upright, 4, 5, axis=2)
    standing = _People(
        graph.slice(upright, 0, 4, axis=2), graph.op("Where", person, score, graph.scalar(0)), spec.max_detections
    )
    lying_score = graph.slice(lying, 4, 5, axis=2)
    counted = graph.op("Mul", lying_score, graph.scalar(TURNED_WEIGHT))
    counted = graph.op("Where", graph.op("Greater", counted, SCORE_THRESHOLD_NAME), counted, graph.scalar(0))
    turned = _People(graph.slice(lying, 0, 4, axis=2), counted, (_VIEWS - 1) * spec.max_detections)
    turned = replace(turned, scores=_unbeaten(graph, turned, standing))
    turned = replace(turned, scores=_unbeaten(graph, turned, turned))
    stay = graph.op("Where", person, _unbeaten(graph, standing, turned), score)
    return stay, graph.op("Where", graph.op("Greater", turned.scores, graph.scalar(0)), lying_score, graph.scalar(0))


def _unbeaten(graph: GraphBuilder, people: _People, rivals: _People) -> str:
    """Return the scores of `people`, 0 for those whom a better rival covers."""
    mine, theirs = (0, people.count, 1), (0, 1, rivals.count)
    (left, top, right, bottom), (other_left, other_top, other_right, other_bottom) = (
        [graph.reshape(graph.slice(each.boxes, edge, edge + 1, axis=2), *shape) for edge in range(4)]
        for each, shape in ((people, mine), (rivals, theirs))
    )
    across = graph.op("Sub", graph.op("Min", right, other_right), graph.op("Max", left, other_left))
    down = graph.op("Sub", graph.op("Min", bottom, other_bottom), graph.op("Max", top, other_top))
    shared = graph.op("Mul", graph.op("Relu", across), graph.op("Relu", down))
    area = graph.op("Mul", graph.op("Sub", right, left), graph.op("Sub", bottom, top))
    other_area = graph.op("Mul", graph.op("Sub", other_right, other_left), graph.op("Sub", other_bottom, other_top))
    smaller = graph.op("Mul", graph.op("Min", area, other_area), graph.scalar(SAME_PERSON))
    better = graph.op("Greater", graph.reshape(rivals.scores, *theirs), people.scores)
    beaten = graph.op("Cast", graph.op("And", graph.op("Greater", shared, smaller), better), to=TensorProto.FLOAT)
    beaten = graph.op("Greater", graph.reduce_max(beaten, 2), graph.scalar(0.5))
    return graph.op("Where", beaten, graph.scalar(0), people.scores)
