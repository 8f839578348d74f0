"""End-to-end heads of the YOLO line (YOLOv10, YOLO26): finished rows, chosen by the network itself.

Boxes are in pixels as Ultralytics exports them; other exporters tell them in fractions of the picture.
"""

from converters.families.family import Misfit, picture_input, sole_output
from converters.families.headed import NO_SUPPRESSION, Plan
from converters.families.heads.yolo import EndToEndHead
from converters.families.ultralytics import Metadata, check_keypoints, check_task, metadata_of
from converters.families.units import SeenUnits
from converters.families.yolo import centred
from converters.families.yolo_graph import check_no_masks, holds, operators_behind, width_of_maximum
from converters.onnx_file import OnnxFile

MAX_END_TO_END_ROWS = 3000


class Yolov10(SeenUnits):
    """The family `yolov10`: finished rows `[b, 300, 6]`; YOLOv10, YOLO26 and other end-to-end exports."""

    name = "yolov10"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        check_task(metadata, "detect", "pose")
        table = sole_output(file, "FLOAT [N, rows, 6 + 3 x keypoints]", _finished_rows)
        check_no_masks(file)
        if not holds(file, "TopK", "NonMaxSuppression"):
            raise Misfit("nothing in its graph chooses rows (TopK), as an end-to-end head does")
        if "Sigmoid" in operators_behind(file, table.name):
            raise Misfit(
                "its columns come out of a Sigmoid: boxes from 0 to 1 and a score for each class, as RT-DETR gives "
                "them, not box, score and class"
            )
        rows, columns = int(table.shape[1]), int(table.shape[2])
        check_keypoints(metadata, columns - 6)
        head = EndToEndHead(output=table.name, rows=rows, keypoints=(columns - 6) // 3)
        why = f"its {rows} rows of {columns} columns are chosen by TopK: box, score, class" + (
            f", {head.keypoints} keypoints" if head.keypoints else ""
        )
        return centred(picture, head, metadata, why, nms_iou=NO_SUPPRESSION, classes=_classes_of(file, metadata))


def _finished_rows(shape: tuple[int | str, ...]) -> bool:
    match shape:
        case (_, int(rows), int(columns)):
            return 1 <= rows <= MAX_END_TO_END_ROWS and columns >= 6 and columns % 3 == 0
        case _:
            return False


def _classes_of(file: OnnxFile, metadata: Metadata) -> int:
    """Count the classes of an end-to-end head, whose rows hold only the best one's number.

    Raises:
        Misfit: Neither metadata nor the graph tells.
    """
    if metadata.names is not None:
        return len(metadata.names)
    counted = width_of_maximum(file)
    if counted is None:
        raise Misfit("its classes can't be counted: it has no metadata `names`, and no ReduceMax over class scores")
    return counted
