"""FastestDet (dog-qiuqiu), as its `test.py --onnx` exports it.

In: BGR levels 0 to 1, the picture stretched over the canvas. Out: `[b, 5 + C, H / 16, W / 16]`, see `heads.grid`.
"""

from converters.families.colours import network_takes
from converters.families.family import Misfit, picture_input, sole_output
from converters.families.graph_facts import operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.grid import GridHead
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder

STRIDE = 16
SCORE_THRESHOLD = 0.55
NMS_IOU = 0.45
_HEAD = ["Sigmoid", "Conv", "Softmax"]


class FastestDet(PlannedFamily):
    """The family `fastestdet`."""

    name = "fastestdet"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        rows, columns = picture.height // STRIDE, picture.width // STRIDE
        table = sole_output(
            file, f"FLOAT [N, 5 + classes, {rows}, {columns}]", lambda shape: shape[2:] == (rows, columns)
        )
        seen = operators(file.model.graph, table.name)
        if len(file.outputs) != 1 or seen != _HEAD:
            raise Misfit(f"its output is computed by {', '.join(seen)}; FastestDet's by {', '.join(_HEAD)}")
        classes = int(table.shape[1]) - 5
        return Plan(
            why=f"one grid of {columns} x {rows} cells: objectness through a Sigmoid, a raw box, {classes} classes "
            "through a Softmax",
            picture=picture,
            preprocess=network_takes(picture, ChannelOrder.BGR, gain=(1 / 255,)),
            head=GridHead(
                output=table.name,
                rows=rows,
                columns=columns,
                classes=classes,
                height=picture.height,
                width=picture.width,
            ),
            classes=classes,
            score_threshold=SCORE_THRESHOLD,
            nms_iou=NMS_IOU,
        )
