"""RetinaFace (biubug6's PyTorch version): faces and five landmarks, relative to priors.

In: BGR less the means 104, 117, 123, the picture in the middle of the canvas. Out: boxes, two classes through a
Softmax, landmarks; see `heads.priors`.
"""

from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.graph_facts import operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.priors import PRIOR_SIZES, PriorHead, priors_of
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder
from converters.spec import Letterbox

MEAN_LEVELS = (104.0, 117.0, 123.0)
LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth_corner", "right_mouth_corner")
SCORE_THRESHOLD = 0.5
NMS_IOU = 0.4


class RetinaFace(PlannedFamily):
    """The family `retinaface`."""

    name = "retinaface"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        head = _head(file, picture)
        return Plan(
            why=f"boxes, two classes through a Softmax and {head.points} landmarks for each prior of strides "
            f"{', '.join(map(str, PRIOR_SIZES))}",
            picture=picture,
            preprocess=network_takes(picture, ChannelOrder.BGR, mean=MEAN_LEVELS),
            head=head,
            classes=1,
            labels=("face",),
            keypoints=LANDMARKS,
            letterbox=Letterbox.CENTER,
            score_threshold=SCORE_THRESHOLD,
            nms_iou=NMS_IOU,
        )


def _head(file: OnnxFile, picture: PictureInput) -> PriorHead:
    """Find three tables of one row for each prior.

    Raises:
        Misfit: They are not there, or the scores miss their Softmax.
    """
    priors = len(priors_of(picture.height, picture.width))
    points = len(LANDMARKS)
    tables = {tensor.shape[1:]: tensor.name for tensor in file.outputs}
    wanted = [(priors, 4), (priors, 2), (priors, 2 * points)]
    if len(file.outputs) != len(wanted) or any(shape not in tables for shape in wanted):
        shapes = ", ".join(f"[N, {rows}, {columns}]" for rows, columns in wanted)
        raise Misfit(f"its outputs are {', '.join(map(str, file.outputs[:4]))}, not {shapes} for this input")
    boxes, scores, landmarks = (tables[shape] for shape in wanted)
    if operators(file.model.graph, scores) != ["Softmax"]:
        raise Misfit(f"{scores} does not come from a Softmax, as RetinaFace's scores do when exported")
    return PriorHead(
        boxes=boxes, scores=scores, landmarks=landmarks, points=points, height=picture.height, width=picture.width
    )
