"""The heads that a description names, with the numbers that the shapes of their outputs tell."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from converters.families import description as said
from converters.families.family import Misfit, PictureInput
from converters.families.heads.distribution import SIDES, DistributionHead, Level
from converters.families.heads.grid import GridHead
from converters.families.heads.head import Head
from converters.families.heads.heatmap import HeatmapHead
from converters.families.heads.priors import PriorHead, priors_of
from converters.families.heads.ready import ReadyHead
from converters.families.heads.scores import ClassHead
from converters.families.heads.simcc import SimccHead
from converters.families.heads.transformer import QueryHead
from converters.families.heads.yolo import YoloHead
from converters.onnx_file import OnnxFile


@dataclass(frozen=True, slots=True)
class Reading:
    """What a description and the shapes of the outputs say together.

    Attributes:
        head: How the outputs are read.
        classes: Their number; None where the outputs don't tell.
        keypoints: Their number.
    """

    head: Head | ClassHead
    classes: int | None
    keypoints: int = 0


@dataclass(frozen=True, slots=True)
class _Outputs:
    """The outputs of a file, asked for by name; the sides of its picture."""

    file: OnnxFile
    picture: PictureInput

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """Return an output's shape without its batch axis.

        Raises:
            Misfit: There is no such output, its rank is another, or a side isn't fixed.
        """
        tensors = {tensor.name: tensor for tensor in self.file.outputs}
        if name not in tensors:
            raise Misfit(f"it has no output {name!r}; there are: {', '.join(tensors)}")
        sides = tuple(side for side in tensors[name].shape[1:] if isinstance(side, int))
        if len(tensors[name].shape) != rank or len(sides) != rank - 1:
            raise Misfit(f"{tensors[name]} has not {rank} axes, all but the first fixed, as this kind of head has")
        return sides

    @property
    def canvas(self) -> dict[str, int]:
        """Height and width of the network's picture."""
        return {"height": self.picture.height, "width": self.picture.width}


def read_head(table: said.HeadTable, file: OnnxFile, picture: PictureInput) -> Reading:
    """Return the described head of a file.

    Raises:
        Misfit: The file's outputs aren't as described.
    """
    return _READERS[type(table)](table, _Outputs(file, picture))


def _rows(table: said.Rows, outputs: _Outputs) -> Reading:
    first, second = outputs.shape(table.output, 3)
    columns, rows = (first, second) if table.columns_first else (second, first)
    classes = columns - (5 if table.objectness else 4) - 3 * table.keypoints
    if classes < 1:
        raise Misfit(
            f"{table.output} has {columns} columns, too few for a box, a class and {table.keypoints} keypoints"
        )
    head = YoloHead(
        output=table.output,
        rows=rows,
        classes=classes,
        keypoints=table.keypoints,
        objectness=table.objectness,
        columns_first=table.columns_first,
    )
    return Reading(head, classes, table.keypoints)


def _grid(table: said.Grid, outputs: _Outputs) -> Reading:
    channels, rows, columns = outputs.shape(table.output, 4)
    classes = channels - 5
    if classes < 1:
        raise Misfit(f"{table.output} has {channels} channels, too few for objectness, a box and a class")
    head = GridHead(output=table.output, rows=rows, columns=columns, classes=classes, **outputs.canvas)
    return Reading(head, classes)


def _heatmap(table: said.Heatmap, outputs: _Outputs) -> Reading:
    heat, offsets = (_last(outputs.shape(name, 4), table) for name in (table.heatmap, table.offsets))
    rows, columns, keypoints = heat
    if offsets != (rows, columns, 2 * keypoints):
        raise Misfit(f"{table.offsets} has not twice the channels of {table.heatmap}, on the same cells")
    head = HeatmapHead(
        heatmap=table.heatmap,
        offsets=table.offsets,
        channels_last=table.channels_last,
        logits=table.logits,
        rows=rows,
        columns=columns,
        keypoints=keypoints,
        stride=table.stride,
    )
    return Reading(head, 1, keypoints)


def _last(shape: tuple[int, ...], table: said.Heatmap) -> tuple[int, ...]:
    """Return rows, columns, channels."""
    return shape if table.channels_last else (*shape[1:], shape[0])


def _queries(table: said.Queries, outputs: _Outputs) -> Reading:
    queries, channels = outputs.shape(table.logits, 3)
    if outputs.shape(table.boxes, 3) != (queries, 4):
        raise Misfit(f"{table.boxes} is not FLOAT [N, {queries}, 4], a box for each query")
    head = QueryHead(
        logits=table.logits,
        boxes=table.boxes,
        queries=queries,
        channels=channels,
        no_object=table.no_object,
        **outputs.canvas,
    )
    return Reading(head, head.classes)


def _distribution(table: said.Distribution, outputs: _Outputs) -> Reading:
    joined = table.scores == table.bins
    if len(table.scores) != len(table.bins) or len(table.scores) not in (1, len(table.strides)):
        raise Misfit(f"scores and bins name one output each, or one for each of the {len(table.strides)} strides")
    columns = outputs.shape(table.scores[0], 3)[1]
    classes = columns - SIDES * table.bins_per_side if joined else columns
    head = DistributionHead(
        levels=tuple(Level(scores=a, bins=b) for a, b in zip(table.scores, table.bins, strict=True)),
        strides=table.strides,
        anchor=0.5 if table.anchor == "middle" else 0.0,
        classes=classes,
        bins=table.bins_per_side,
        **outputs.canvas,
    )
    rows = sum(outputs.shape(name, 3)[0] for name in table.scores)
    if rows != head.rows or classes < 1:
        raise Misfit(f"its {rows} rows of {columns} columns are not the {head.rows} cells of strides {table.strides}")
    return Reading(head, classes)


def _suppressed(table: said.Suppressed, outputs: _Outputs) -> Reading:
    rows, sides = outputs.shape(table.boxes, 3)
    wanted = SIDES + (table.scores is None)
    if sides != wanted:
        also = ", a box and its score, as no scores are named" if table.scores is None else ""
        raise Misfit(f"{table.boxes} is not [N, rows, {wanted}]{also}")
    for name in (table.scores, table.classes):
        if name is not None and outputs.shape(name, 2) != (rows,):
            raise Misfit(f"{name} is not [N, {rows}], one number for each box")
    if table.number is not None:
        outputs.shape(table.number, 1)
    return Reading(
        ReadyHead(
            boxes=table.boxes,
            scores=table.scores,
            classes=table.classes,
            number=table.number,
            rows=rows,
            first_class=table.first_class,
            unit_px=(1, 1) if table.unit == "pixel" else (outputs.picture.width, outputs.picture.height),
            x_first=table.corners == "xyxy",
        ),
        None,
    )


def _simcc(table: said.Simcc, outputs: _Outputs) -> Reading:
    (keypoints, across), (others, down) = outputs.shape(table.x, 3), outputs.shape(table.y, 3)
    split = across / outputs.picture.width
    if keypoints != others or down != split * outputs.picture.height:
        raise Misfit(f"{table.x} and {table.y} have not the same keypoints, or bins for a pixel")
    return Reading(SimccHead(x=table.x, y=table.y, keypoints=keypoints, split=split), 1, keypoints)


def _priors(table: said.Priors, outputs: _Outputs) -> Reading:
    points = outputs.shape(table.landmarks, 3)[1] // 2
    rows = len(priors_of(**outputs.canvas))
    wanted = {table.boxes: (rows, SIDES), table.scores: (rows, 2), table.landmarks: (rows, 2 * points)}
    for name, shape in wanted.items():
        if outputs.shape(name, 3) != shape:
            raise Misfit(f"{name} is not [N, {shape[0]}, {shape[1]}], a row for each prior of this picture")
    head = PriorHead(boxes=table.boxes, scores=table.scores, landmarks=table.landmarks, points=points, **outputs.canvas)
    return Reading(head, 1, points)


def _scores(table: said.Scores, outputs: _Outputs) -> Reading:
    (classes,) = outputs.shape(table.output, 2)
    return Reading(ClassHead(output=table.output, classes=classes, logits=table.logits), classes)


_READERS: dict[type, Callable[[Any, _Outputs], Reading]] = {
    said.Rows: _rows,
    said.Grid: _grid,
    said.Heatmap: _heatmap,
    said.Queries: _queries,
    said.Distribution: _distribution,
    said.Suppressed: _suppressed,
    said.Simcc: _simcc,
    said.Priors: _priors,
    said.Scores: _scores,
}
