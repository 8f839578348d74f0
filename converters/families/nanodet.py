"""NanoDet and NanoDet-Plus (RangiLyu): scores and box distributions at each stride, in one table or two for each.

In: BGR less ImageNet's mean, over its deviation. NanoDet has strides 8, 16 and 32, measures from the middle of a cell
and takes the picture in the middle of a black canvas (`keep_ratio: True` in its configurations); NanoDet-Plus has 64
too, measures from the corner and takes the picture stretched (`nanodet_head.py`, `nanodet_plus_head.py`).

Of its configurations those of EfficientNet-Lite, whose activations are ReLU6, have other colours (127 and 128 in all
planes), and they, RepVGG's and nanodet-g mostly other bins: those are to be described.
"""

from converters.families.classifier import IMAGENET_DEVIATION, IMAGENET_MEAN
from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.graph_facts import inferred_sides, made_by, operators, stops_at
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.distribution import SIDES, DistributionHead, Level, cells_of
from converters.onnx_file import OnnxFile, TensorInfo
from converters.preprocess import ChannelOrder
from converters.spec import Letterbox

ANCHORS: dict[tuple[int, ...], float] = {(8, 16, 32): 0.5, (8, 16, 32, 64): 0.0}
"""Strides → where in its cell a box is measured from."""
BINS = 8
"""Of each side: `reg_max` 7 and zero, as nanodet-m and NanoDet-Plus have them."""
_DESCRIBE = 'describe it, with the bins and colours that it was trained on (--family custom, kind = "distribution")'
_PLUS_STRIDES = 4
_RELU6 = 6.0
SCORE_THRESHOLD = 0.35
NMS_IOU = 0.6


class NanoDet(PlannedFamily):
    """The family `nanodet`."""

    name = "nanodet"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        head = _one_table(file, picture) if len(file.outputs) == 1 else _tables(file, picture)
        plus = len(head.strides) == _PLUS_STRIDES
        if not plus and stops_at(file.model.graph, _RELU6):
            raise Misfit(
                "its activations stop at 6, as those of EfficientNet-Lite do, whose NanoDet takes other colours than "
                f"nanodet-m; {_DESCRIBE}"
            )
        return Plan(
            why=f"{head.rows} rows are the cells of strides {', '.join(map(str, head.strides))}, each with "
            f"{head.classes} classes through a Sigmoid and {SIDES} x {BINS} bins",
            picture=picture,
            preprocess=network_takes(
                picture,
                ChannelOrder.BGR,
                mean=IMAGENET_MEAN[::-1],
                gain=tuple(1 / side for side in IMAGENET_DEVIATION[::-1]),
            ),
            head=head,
            letterbox=Letterbox.STRETCH if plus else Letterbox.CENTER,
            pad_level=0,
            classes=head.classes,
            score_threshold=SCORE_THRESHOLD,
            nms_iou=NMS_IOU,
        )


def _one_table(file: OnnxFile, picture: PictureInput) -> DistributionHead:
    """Read a table of scores and bins side by side.

    Raises:
        Misfit: It is something else.
    """
    table = file.outputs[0]
    for strides in ANCHORS:
        rows = sum(cells_of(picture.height, picture.width, stride) for stride in strides)
        match table.dtype, table.shape:
            case "FLOAT" | "FLOAT16", (_, count, int(columns)) if count == rows and columns > SIDES * BINS:
                break
            case _:
                continue
    else:
        raise Misfit(
            f"its output is {table}, not FLOAT [N, cells, classes + {SIDES * BINS}] for strides from 8 to 32 or 64; "
            f"with other bins, {_DESCRIBE}"
        )
    seen = operators(file.model.graph, table.name)
    if seen[::2] != ["Sigmoid"] * len(strides) or "Sigmoid" in seen[1::2]:
        raise Misfit(
            f"its output is computed by {', '.join(seen)}; NanoDet's by a Sigmoid and bare bins at each stride"
        )
    classes = columns - SIDES * BINS
    widths = [inferred_sides(file.model.graph, node.output[0]) for node in made_by(file.model.graph, table.name)[::2]]
    if any(sides and classes not in sides for sides in widths):
        raise Misfit(f"not {classes} of its {columns} columns pass a Sigmoid; with other bins than {BINS}, {_DESCRIBE}")
    level = Level(scores=table.name, bins=table.name)
    return _head(picture, (level,), strides, classes)


def _tables(file: OnnxFile, picture: PictureInput) -> DistributionHead:
    """Read two tables for each stride, in any order.

    Raises:
        Misfit: They are something else.
    """
    strides = next((strides for strides in ANCHORS if 2 * len(strides) == len(file.outputs)), None)
    if strides is None:
        raise Misfit(f"it has {len(file.outputs)} outputs, NanoDet has one, or two for each of 3 or 4 strides")
    levels: list[Level] = []
    classes: set[int | str] = set()
    for stride in strides:
        rows = cells_of(picture.height, picture.width, stride)
        pair = [tensor for tensor in file.outputs if len(tensor.shape) == 3 and tensor.shape[1] == rows]
        bins = [tensor for tensor in pair if tensor.shape[2] == SIDES * BINS and not _through_sigmoid(file, tensor)]
        scores = [tensor for tensor in pair if _through_sigmoid(file, tensor)]
        if len(bins) != 1 or len(scores) != 1:
            raise Misfit(
                f"no two of its outputs are FLOAT [N, {rows}, classes], through a Sigmoid, and {SIDES * BINS} bins; "
                f"with other bins, {_DESCRIBE}"
            )
        levels.append(Level(scores=scores[0].name, bins=bins[0].name))
        classes.add(scores[0].shape[2])
    match list(classes):
        case [int(count)]:
            return _head(picture, tuple(levels), strides, count)
        case _:
            raise Misfit(f"its strides have different numbers of classes: {', '.join(map(str, classes))}")


def _through_sigmoid(file: OnnxFile, tensor: TensorInfo) -> bool:
    return operators(file.model.graph, tensor.name) == ["Sigmoid"]


def _head(picture: PictureInput, levels: tuple[Level, ...], strides: tuple[int, ...], classes: int) -> DistributionHead:
    return DistributionHead(
        levels=levels,
        strides=strides,
        anchor=ANCHORS[strides],
        classes=classes,
        bins=BINS,
        height=picture.height,
        width=picture.width,
    )
