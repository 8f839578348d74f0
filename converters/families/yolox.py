"""YOLOX (Megvii) with its raw head, as `tools/export_onnx.py` of that project writes it.

In: BGR levels 0 to 255 on a canvas with the picture at the top left and grey 114 around it. Out: `[b, n, 5 + C]`, a row
for each cell of the strides 8, 16 and 32: box (x, y, log w, log h relative to the cell, in cells), then objectness and
C class scores, both through Sigmoid already. The score of a row is objectness times its best class.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.families.family import (
    BuildOptions,
    Misfit,
    Recognition,
    labels_for,
    original_detector,
    source_of,
    verdict,
)
from converters.families.graph_facts import made_by
from converters.fuse import fuse, network_tensor
from converters.nms import MAX_CANDIDATES, Candidates, gather_rows
from converters.nv12 import luma_of
from converters.onnx_file import OnnxFile
from converters.onnx_graph import GraphBuilder
from converters.preprocess import ChannelOrder, Preprocess
from converters.reference import Arrays, HeadRows
from converters.spec import BuiltModel, Letterbox, ModelSpec, Task

STRIDES = (8, 16, 32)
PAD_LEVEL = 114
SCORE_THRESHOLD = 0.3
NMS_IOU = 0.45


@dataclass(frozen=True, slots=True)
class _Head:
    """What the output's shape says: canvas in pixels, rows of the output, classes, the output's name."""

    height: int
    width: int
    rows: int
    classes: int
    output: str


class Yolox:
    """The family `yolox`."""

    name = "yolox"
    preprocess: ClassVar[Preprocess] = Preprocess(order=ChannelOrder.BGR)

    def recognise(self, file: OnnxFile) -> Recognition:
        """Say whether the graph is of this family, and why."""
        return verdict(lambda: self._why(file))

    @staticmethod
    def _why(file: OnnxFile) -> str:
        head = _head_of(file)
        _check_raw(file.model.graph, head)
        return (
            f"{head.rows} rows are the cells of strides 8, 16, 32 on {head.width} x {head.height}; at each stride "
            f"the box columns leave a Conv unchanged, objectness and {head.classes} classes pass a Sigmoid"
        )

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse a recognised model.

        Raises:
            ModelError: The labels don't fit the number of classes.
        """
        head = _head_of(file)
        spec = _spec(head, options)
        original = original_detector(file, spec, self.preprocess, lambda outputs: _decode_rows(outputs, head))
        return BuiltModel(
            model=fuse(file.model, spec, self.preprocess, lambda graph: _append_decode(graph, head)),
            spec=spec,
            source=source_of(file, options, self.name, self.recognise(file)),
            reference=original.from_nv12,
            picture_reference=original.from_bgr,
        )


def _head_of(file: OnnxFile) -> _Head:
    """Read canvas and head off the shapes.

    Raises:
        Misfit: They are not YOLOX's.
    """
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise Misfit(f"it has {len(file.inputs)} inputs and {len(file.outputs)} outputs, YOLOX has one of each")
    picture, table = file.inputs[0], file.outputs[0]
    match picture.dtype, picture.shape:
        case "FLOAT", (_, 3, int(height), int(width)) if height % STRIDES[-1] == 0 == width % STRIDES[-1]:
            pass
        case _:
            raise Misfit(f"its input is {picture}, not FLOAT [N, 3, H, W] with fixed H and W, multiples of 32")
    rows = sum((height // stride) * (width // stride) for stride in STRIDES)
    match table.dtype, table.shape:
        case "FLOAT", (_, count, int(columns)) if count == rows and columns > 5:
            return _Head(height, width, rows, columns - 5, table.name)
        case _:
            raise Misfit(f"its output is {table}, not FLOAT [N, {rows}, 5 + classes] for this input")


def _check_raw(graph: onnx.GraphProto, head: _Head) -> None:
    """Walk back from the output to what computes it: per stride a Conv for the box, a Sigmoid for each score.

    Raises:
        Misfit: Something else is in the way, such as a decoded box.
    """
    found = [(node.op_type, _channels(graph, node)) for node in made_by(graph, head.output)]
    wanted = [("Conv", 4), ("Sigmoid", 1), ("Sigmoid", head.classes)] * len(STRIDES)
    if found != wanted:
        seen = ", ".join(f"{op} of {channels or '?'}" for op, channels in found) or "no node"
        raise Misfit(
            f"its output is computed by {seen}; a raw YOLOX head has, at each of three strides, Conv of 4 (box), "
            f"Sigmoid of 1 and Sigmoid of {head.classes}"
        )


def _channels(graph: onnx.GraphProto, node: onnx.NodeProto) -> int | None:
    """Return how many channels a Conv gives, or the one whose result a Sigmoid takes; None for other nodes."""
    sources = made_by(graph, node.input[0]) if node.op_type == "Sigmoid" else [node]
    if [source.op_type for source in sources] != ["Conv"]:
        return None
    kernel = sources[0].input[1]
    rounded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    kernel = rounded.get(kernel, kernel)
    return next((tensor.dims[0] for tensor in graph.initializer if tensor.name == kernel), None)


def _spec(head: _Head, options: BuildOptions) -> ModelSpec:
    return ModelSpec(
        task=Task.DETECT,
        height=head.height,
        width=head.width,
        letterbox=Letterbox.TOP_LEFT,
        pad_luma=luma_of(PAD_LEVEL),
        labels=labels_for(head.classes, options),
        score_threshold=SCORE_THRESHOLD if options.score_threshold is None else options.score_threshold,
        nms_iou=NMS_IOU if options.nms_iou is None else options.nms_iou,
        max_detections=options.max_detections,
    )


def _append_decode(graph: GraphBuilder, head: _Head) -> Candidates:
    """Score every row, then decode the boxes of the best ones only."""
    table = network_tensor(head.output)
    count = min(MAX_CANDIDATES, head.rows)
    columns = 5 + head.classes
    best_class = graph.reduce_max(graph.slice(table, 5, columns, axis=2), axis=2)
    scores = graph.op("Mul", graph.slice(table, 4, 5, axis=2), best_class)
    scores, order = graph.ops("TopK", [graph.reshape(scores, 0, head.rows), graph.constant([count])], outputs=2, axis=1)
    rows = gather_rows(graph, table, order, rows=count, columns=columns)
    classes = graph.op("ArgMax", graph.slice(rows, 5, columns, axis=2), axis=2, keepdims=0)
    cells, strides = _grid(head)
    # one small table of (cell x, cell y, stride) per row: gathered with the rows, it needs no batch axis
    cell = graph.op("Gather", graph.constant(cells), order, axis=0)
    stride = graph.op("Gather", graph.constant(strides[:, None]), order, axis=0)
    centre = graph.op("Mul", graph.op("Add", graph.slice(rows, 0, 2, axis=2), cell), stride)
    half = graph.op("Mul", graph.op("Exp", graph.slice(rows, 2, 4, axis=2)), graph.op("Mul", stride, graph.scalar(0.5)))
    boxes = graph.op("Concat", graph.op("Sub", centre, half), graph.op("Add", centre, half), axis=2)
    return Candidates(boxes=boxes, scores=scores, classes=classes, count=count)


def _grid(head: _Head) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cells `[n, 2]` (x, y) and strides `[n]`, in the order of the output's rows."""
    cells: list[NDArray[np.float32]] = []
    strides: list[NDArray[np.float32]] = []
    for stride in STRIDES:
        y, x = np.mgrid[: head.height // stride, : head.width // stride]
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
        strides.append(np.full(x.size, stride, dtype=np.float32))
    return np.concatenate(cells), np.concatenate(strides)


def _decode_rows(outputs: Arrays, head: _Head) -> HeadRows:
    """Decode by hand, for the reference: a loop over strides, as YOLOX's own `demo_postprocess` documents it."""
    table = outputs[head.output].astype(np.float64)
    boxes: list[NDArray[np.float64]] = []
    start = 0
    for stride in STRIDES:
        across, down = head.width // stride, head.height // stride
        level = table[start : start + across * down]
        index = np.arange(across * down)
        x = (level[:, 0] + index % across) * stride
        y = (level[:, 1] + index // across) * stride
        w, h = np.exp(level[:, 2]) * stride, np.exp(level[:, 3]) * stride
        boxes.append(np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1))
        start += across * down
    scores = table[:, 4] * table[:, 5:].max(axis=1)
    classes = table[:, 5:].argmax(axis=1)
    return HeadRows(np.concatenate(boxes).astype(np.float32), scores.astype(np.float32), classes)
