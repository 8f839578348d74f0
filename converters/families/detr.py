"""Networks of object queries: DETR, whose scores come from a Softmax, and the many whose scores come from a Sigmoid.

Logits and boxes look alike in both. What tells them apart is where the queries come from: DETR learns a fixed set;
RT-DETR, D-FINE and Deformable DETR choose or sample theirs in the graph (TopK, GridSample), and were trained with the
focal loss. RT-DETR and D-FINE take RGB 0 to 1; DETR takes ImageNet's mean and deviation. All take a stretched picture.

Others have that structure and ImageNet's colours, and are left to be described: RF-DETR and its like, told by a picture
that is cut into patches; Deformable DETR, which samples and chooses no queries; Conditional DETR and DAB-DETR, which
learn 300 queries, and were trained with the focal loss all the same.
"""

from typing import cast

from converters.families.classifier import IMAGENET_DEVIATION, IMAGENET_MEAN
from converters.families.coco import COCO_91
from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.graph_facts import ROUNDING_OPS, operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.transformer import QueryHead
from converters.families.heads.yolo import YoloHead
from converters.families.ultralytics import check_names, check_task, labels_of, metadata_of
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder

MAX_QUERIES = 1000
SCORE_THRESHOLD = 0.5
_CHOOSERS = {"TopK", "GridSample"}
SIDES = 4
_SMALLEST_PATCH_PX = 4
_NO_ATTENTION = "no Softmax of its graph feeds a MatMul, as attention does"
_EITHER_WAY_ROUND = 2
"""Ways to read a network of four classes, whose logits are as wide as its boxes."""
_FOCAL_QUERIES = 300
"""As few as Conditional DETR, DAB-DETR and their kin have; DETR, of whichever backbone, has 100."""
_OTHER_COLOURS = (
    "which takes ImageNet's mean and deviation where RT-DETR takes 0 to 1; describe it, with the colours that it was "
    "trained on (--family custom)"
)


class Detr(PlannedFamily):
    """The family `detr`."""

    name = "detr"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        choosers = _choosers(file)
        if choosers:
            raise Misfit(f"its graph chooses or samples queries ({', '.join(choosers)}); DETR learns a fixed set")
        gain = tuple(1 / side for side in IMAGENET_DEVIATION)
        plan = _plan(file, "ImageNet's mean and deviation", no_object=True, mean=IMAGENET_MEAN, gain=gain)
        _check_no_object(cast("QueryHead", plan.head))
        return plan


class RtDetr(PlannedFamily):
    """The family `rtdetr`."""

    name = "rtdetr"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        choosers = _choosers(file)
        if not choosers:
            raise Misfit(
                f"its graph holds no {' or '.join(sorted(_CHOOSERS))}, by which RT-DETR and its kin find queries"
            )
        patch_px = _patch_px(file)
        if patch_px is not None:
            raise Misfit(f"its picture is cut into patches of {patch_px} px, as RF-DETR's is, {_OTHER_COLOURS}")
        if "TopK" not in choosers:
            raise Misfit(f"its graph samples and chooses no queries (TopK), as Deformable DETR, {_OTHER_COLOURS}")
        if len(file.outputs) == 1:
            return _joined(file)
        return _plan(file, "0 to 1", no_object=False, mean=(0.0,), gain=(1 / 255,))


def _check_no_object(head: QueryHead) -> None:
    """Refuse what looks like one of those that learn their queries and were trained with the focal loss.

    Raises:
        Misfit: It does.
    """
    if head.queries < _FOCAL_QUERIES:
        return
    raise Misfit(
        f"it learns {head.queries} queries, as Conditional DETR and DAB-DETR do, whose scores go through a Sigmoid; "
        'DETR has 100, and a last number for nothing. Describe it (--family custom, kind = "queries"), with '
        "no_object = true where it has that number"
    )


def _choosers(file: OnnxFile) -> list[str]:
    return sorted({node.op_type for node in file.model.graph.node} & _CHOOSERS)


def _patch_px(file: OnnxFile) -> int | None:
    """Return the side of the patches that a Conv cuts a picture into, as vision transformers do; None without one."""
    for node in file.model.graph.node:
        sides = {entry.name: list(entry.ints) for entry in node.attribute if entry.name in ("kernel_shape", "strides")}
        stride = sides.get("strides", [1])
        if node.op_type == "Conv" and stride == sides.get("kernel_shape") and min(stride) >= _SMALLEST_PATCH_PX:
            return stride[0]
    return None


def _plan(file: OnnxFile, colours: str, *, no_object: bool, mean: tuple[float, ...], gain: tuple[float, ...]) -> Plan:
    picture = picture_input(file)
    head = _head(file, picture, no_object=no_object)
    end = "a Softmax whose last class is nothing" if no_object else "a Sigmoid"
    return Plan(
        why=f"attention, and {head.queries} queries with a box and {head.classes} classes each; scores through {end}"
        + ("" if picture.told else f"; colours as its authors': {colours}"),
        picture=picture,
        preprocess=network_takes(picture, ChannelOrder.RGB, mean=mean, gain=gain),
        head=head,
        classes=head.classes,
        labels=COCO_91,
        score_threshold=SCORE_THRESHOLD,
    )


def _joined(file: OnnxFile) -> Plan:
    """Return how to fuse boxes and scores side by side, as Ultralytics exports its RT-DETR.

    Raises:
        Misfit: They are something else.
    """
    picture, metadata = picture_input(file), metadata_of(file.model)
    check_task(metadata, "detect")
    table = file.outputs[0]
    match table.dtype, table.shape:
        case "FLOAT" | "FLOAT16", (_, int(queries), int(columns)) if queries <= MAX_QUERIES and columns > SIDES:
            pass
        case _:
            raise Misfit(f"its output is {table}, not FLOAT [N, queries, 4 + classes]")
    seen = operators(file.model.graph, table.name)
    if seen != ["Sigmoid", "Sigmoid"]:
        raise Misfit(
            f"its output is computed by {', '.join(seen)}; RT-DETR's, where boxes and scores are one table, by a "
            "Sigmoid each"
        )
    check_names(metadata, columns - SIDES)
    if not _has_attention(file):
        raise Misfit(_NO_ATTENTION)
    return Plan(
        why=f"attention, and {queries} queries with a box and {columns - SIDES} classes each, through a Sigmoid and in "
        "one table",
        picture=picture,
        preprocess=network_takes(picture, ChannelOrder.RGB, gain=(1 / 255,)),
        head=YoloHead(
            output=table.name,
            rows=queries,
            classes=columns - SIDES,
            unit_px=(picture.width, picture.height),
        ),
        classes=columns - SIDES,
        labels=labels_of(metadata),
        score_threshold=SCORE_THRESHOLD,
    )


def _head(file: OnnxFile, picture: PictureInput, *, no_object: bool) -> QueryHead:
    """Find the boxes and the class logits of the same queries, in a graph with attention.

    Raises:
        Misfit: They are not there.
    """
    tables = [(tensor.name, *tensor.shape[1:]) for tensor in file.outputs if len(tensor.shape) == 3]
    found = [
        (logits, channels, boxes, queries)
        for boxes, queries, sides in tables
        for logits, others, channels in tables
        if sides == 4 and queries == others and logits != boxes
    ]
    if len(found) == _EITHER_WAY_ROUND:
        found = [pair for pair in found if _is_box(file, pair[2]) and not _is_box(file, pair[0])]
        if not found:
            raise Misfit(
                "its logits have four numbers as its boxes have, and neither a Sigmoid nor a name with `box` tells "
                'which output is which; describe it (--family custom, kind = "queries")'
            )
    match found:
        case [(logits, int(channels), boxes, int(queries))] if queries <= MAX_QUERIES and channels > int(no_object):
            pass
        case _:
            raise Misfit("no two of its outputs are FLOAT [N, queries, classes] and FLOAT [N, queries, 4]")
    end = operators(file.model.graph, logits)
    if end in (["Sigmoid"], ["Softmax"]):
        raise Misfit(f"{logits} went through a {end[0]} already, which is expected to come behind; export its logits")
    if not _has_attention(file):
        raise Misfit(_NO_ATTENTION)
    return QueryHead(
        logits=logits,
        boxes=boxes,
        queries=queries,
        channels=channels,
        no_object=no_object,
        height=picture.height,
        width=picture.width,
    )


def _is_box(file: OnnxFile, output: str) -> bool:
    """Tell whether an output comes straight from a Sigmoid, as boxes do and logits don't, or is called a box."""
    return operators(file.model.graph, output) == ["Sigmoid"] or "box" in output.lower()


def _has_attention(file: OnnxFile) -> bool:
    weighed = {name for node in file.model.graph.node if node.op_type == "Softmax" for name in node.output}
    moved = {"Reshape", "Transpose", "Cast", "Dropout", "Identity"} | ROUNDING_OPS
    for node in file.model.graph.node:
        if node.op_type == "MatMul" and weighed & set(node.input):
            return True
        if node.op_type in moved and node.input[0] in weighed:
            weighed |= set(node.output)
    return False
