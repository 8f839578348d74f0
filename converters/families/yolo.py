"""The YOLO line, by the layout of what comes out: YOLOv5 to v7, YOLOv8 and later, and their poses.

All take RGB from 0 to 1 on a canvas with the picture in the middle and grey 114 around it; `yolox_decoded` is YOLOX as
`export_onnx.py --decode_in_inference` writes it, which takes BGR levels with the picture at the top left. Layouts as
Ultralytics documents and exports them; boxes in pixels, or in fractions of the picture as its TFLite has them.
"""

from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input, sole_output
from converters.families.headed import Plan
from converters.families.heads.yolo import EndToEndHead, YoloHead
from converters.families.ultralytics import (
    Metadata,
    check_keypoints,
    check_names,
    check_task,
    keypoint_names,
    labels_of,
    metadata_of,
)
from converters.families.units import SeenUnits
from converters.families.yolo_graph import (
    check_no_masks,
    columns_behind,
    holds,
    operators_behind,
    rows_per_cell,
    strides_told,
)
from converters.onnx_file import OnnxFile, TensorInfo
from converters.preprocess import ChannelOrder
from converters.spec import Letterbox

SCORE_THRESHOLD = 0.25
"""Ultralytics' default for prediction."""
_ARITHMETIC = {"Add", "Div", "Mul", "Pow", "ScatterND", "Sub"}


class Yolov5(SeenUnits):
    """The family `yolov5`: rows `[b, n, 5 + C]`, decoded; YOLOv5, v6 and v7."""

    name = "yolov5"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        check_task(metadata, "detect")
        head, why = _decoded_rows(file, picture, (1, 3))
        check_names(metadata, head.classes)
        return centred(picture, head, metadata, why, nms_iou=0.45)


class YoloxDecoded(SeenUnits):
    """The family `yolox_decoded`: rows `[b, n, 5 + C]` as YOLOv5's, made from what YOLOX takes."""

    name = "yolox_decoded"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        head, why = _decoded_rows(file, picture, (1,))
        if metadata.present:
            raise Misfit("its metadata (names, stride) is of Ultralytics' hand, whose networks take RGB from 0 to 1")
        return Plan(
            why=why,
            picture=picture,
            preprocess=network_takes(picture, ChannelOrder.BGR),
            head=head,
            classes=head.classes,
            letterbox=Letterbox.TOP_LEFT,
            nms_iou=0.45,
        )


class Yolov8(SeenUnits):
    """The family `yolov8`: columns `[b, 4 + C, n]`, decoded; YOLOv8, v9, 11 and 12."""

    name = "yolov8"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        check_task(metadata, "detect")
        table, columns, rows = _columns_by_rows(file, picture)
        classes = _class_columns(file, table)
        if metadata.task != "detect" and classes not in (None, columns - 4):
            raise Misfit(f"only {classes} of its columns pass a Sigmoid behind the box; the rest are keypoints")
        check_names(metadata, columns - 4)
        head = YoloHead(output=table.name, rows=rows, classes=columns - 4, columns_first=True)
        why = f"{rows} columns are the cells of {_size(picture)}, each a decoded box and {columns - 4} classes"
        return centred(picture, head, metadata, why)


class Yolov8Pose(SeenUnits):
    """The family `yolov8_pose`: columns `[b, 4 + C + 3K, n]`, decoded; mostly one class, person."""

    name = "yolov8_pose"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        check_task(metadata, "pose")
        table, columns, rows = _columns_by_rows(file, picture)
        classes = _class_columns(file, table) or 1
        if metadata.kpt_shape is not None:
            classes = columns - 4 - metadata.kpt_shape[0] * metadata.kpt_shape[1]
        rest = columns - 4 - classes
        check_keypoints(metadata, rest)
        if classes < 1 or rest < 3 or rest % 3:
            raise Misfit(f"its {columns} columns leave none for keypoints of x, y and score")
        check_names(metadata, classes)
        head = YoloHead(output=table.name, rows=rows, classes=classes, keypoints=rest // 3, columns_first=True)
        why = (
            f"{rows} columns are the cells of {_size(picture)}, each a decoded box, {classes} classes and "
            f"{rest // 3} keypoints"
        )
        return centred(picture, head, metadata, why)


def centred(
    picture: PictureInput,
    head: YoloHead | EndToEndHead,
    metadata: Metadata,
    why: str,
    *,
    nms_iou: float = 0.7,
    classes: int | None = None,
) -> Plan:
    """Return the plan that all but YOLOX share: RGB from 0 to 1, the picture in the middle."""
    count = head.classes if isinstance(head, YoloHead) else classes or 0
    labels = labels_of(metadata)
    if labels is None and head.keypoints and count == 1:
        labels = ("person",)
    return Plan(
        why=why,
        picture=picture,
        preprocess=network_takes(picture, ChannelOrder.RGB, gain=(1 / 255,)),
        head=head,
        classes=count,
        labels=labels,
        keypoints=keypoint_names(head.keypoints),
        letterbox=Letterbox.CENTER,
        score_threshold=SCORE_THRESHOLD,
        nms_iou=nms_iou,
    )


def _decoded_rows(file: OnnxFile, picture: PictureInput, anchors: tuple[int, ...]) -> tuple[YoloHead, str]:
    """Read the head off `[b, n, 5 + C]`.

    Raises:
        Misfit: There is no such output, it is not decoded, or masks come beside it.
    """

    def fits(shape: tuple[int | str, ...]) -> bool:
        match shape:
            case (_, rows, int(columns)) if columns > 5:
                return rows_per_cell(picture, rows, anchors) is not None
            case _:
                return False

    per_cell = " or ".join(map(str, anchors))
    table = sole_output(file, f"FLOAT [N, rows, 5 + classes] with {per_cell} rows a cell of {_grids(picture)}", fits)
    check_no_masks(file)
    if holds(file, "TopK", "NonMaxSuppression"):
        raise Misfit("its graph chooses rows itself (TopK or NonMaxSuppression)")
    behind = operators_behind(file, table.name)
    if "Conv" in behind or not behind & _ARITHMETIC or not holds(file, "Sigmoid"):
        raise Misfit(
            f"its rows are computed by {', '.join(sorted(behind))}; decoded boxes are by Add and Mul, not Conv"
        )
    rows, classes = int(table.shape[1]), int(table.shape[2]) - 5
    why = (
        f"{rows} rows are {rows_per_cell(picture, rows, anchors)} for each cell of {_size(picture)}: a decoded box, "
        f"objectness and {classes} classes"
    )
    return YoloHead(output=table.name, rows=rows, classes=classes, objectness=True), why


def _columns_by_rows(file: OnnxFile, picture: PictureInput) -> tuple[TensorInfo, int, int]:
    """Return the output `[b, columns, n]`, its columns and its rows.

    Raises:
        Misfit: There is no such output, or masks come beside it.
    """

    def fits(shape: tuple[int | str, ...]) -> bool:
        match shape:
            case (_, int(columns), rows) if columns > 4:
                return rows_per_cell(picture, rows) is not None
            case _:
                return False

    table = sole_output(file, f"FLOAT [N, 4 + classes, rows] with a row for each cell of {_grids(picture)}", fits)
    check_no_masks(file)
    return table, int(table.shape[1]), int(table.shape[2])


def _class_columns(file: OnnxFile, table: TensorInfo) -> int | None:
    """Return how many columns after the box pass a Sigmoid; None where the graph doesn't show its columns.

    Raises:
        Misfit: The box comes straight from a Conv, or the classes pass no Sigmoid.
    """
    parts = columns_behind(file, table.name)
    seen, box = 0, list[str]()
    while parts and seen < 4:
        operator, width = parts.pop(0)
        box.append(operator)
        seen += width or 4
    if not parts or seen != 4:
        return None
    if "Conv" in box or parts[0][0] != "Sigmoid":
        raise Misfit(
            f"its columns are computed by {', '.join(box)} and {parts[0][0]}; decoded ones are by Mul and Sigmoid"
        )
    classes = 0
    while parts and parts[0][0] == "Sigmoid":
        classes += parts.pop(0)[1] or int(table.shape[1]) - 4 - classes
    return classes


def _size(picture: PictureInput) -> str:
    return f"{picture.width} x {picture.height}"


def _grids(picture: PictureInput) -> str:
    return f"{_size(picture)} at strides {strides_told()}"
