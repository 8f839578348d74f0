"""SSD and its kin of the TensorFlow Object Detection API: suppression inside, boxes, classes, scores and their number.

The exporter of TensorFlow 2 gives beside them what was there before the suppression, which is left alone.

In: the picture stretched over the canvas, RGB; levels as they are where the exporter put its scaling into the graph,
or FLOAT -1 to 1 where it left that outside (TFLite's post-processed SSD). Classes count from 1 where the scaling is
inside, from 0 in TFLite's: a custom, which `why` names.
"""

from converters.families.coco import COCO_91
from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.ready import ReadyHead
from converters.onnx_file import OnnxFile, TensorInfo
from converters.preprocess import ChannelOrder, Element

SCORE_THRESHOLD = 0.4
_MIDDLE_LEVEL = 127.5
_BOX_AND_SCORE = 5
_WORDS = ("box", "score", "class", "num")
_BESIDE = ("raw_", "multiclass", "anchor")
"""In names of TensorFlow 2's further outputs: `raw_detection_boxes`, `raw_detection_scores`,
`detection_multiclass_scores`, `detection_anchor_indices` (its `DetectionResultFields`)."""


class TfDetection(PlannedFamily):
    """The family `tf_detection`."""

    name = "tf_detection"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        scaled_inside = bool(picture.levels) and picture.element is not Element.INT8
        head = _head(file, picture, first_class=int(scaled_inside))
        return Plan(
            why=f"{head.number} counts the {head.rows} rows of {head.boxes}, {head.scores} and {head.classes}, whose "
            f"first class is taken to be {head.first_class}",
            picture=picture,
            preprocess=network_takes(picture, ChannelOrder.RGB, mean=(_MIDDLE_LEVEL,), gain=(1 / _MIDDLE_LEVEL,)),
            head=head,
            classes=None,
            labels=COCO_91[1:],
            score_threshold=SCORE_THRESHOLD,
        )


def _head(file: OnnxFile, picture: PictureInput, *, first_class: int) -> ReadyHead:
    """Find the four outputs: by shape, and scores from classes by their names, as nothing else tells them apart.

    Raises:
        Misfit: They are not there.
    """
    if len(file.outputs) == 2 and {tensor.shape[2:] for tensor in file.outputs} == {(), (_BOX_AND_SCORE,)}:
        raise Misfit(
            "boxes come with their score behind, as MMDeploy's do; describe it (--family custom, "
            'kind = "suppressed", corners = "xyxy", unit = "pixel")'
        )
    boxes = [tensor for tensor in _outputs(file) if len(tensor.shape) == 3 and tensor.shape[2] == 4]
    if len(boxes) != 1 or not isinstance(boxes[0].shape[1], int):
        raise Misfit(f"{len(boxes) or 'none'} of its outputs is FLOAT [N, rows, 4], boxes that were suppressed already")
    rows = boxes[0].shape[1]
    scores, classes = (_named(file, word, (rows,)) for word in _WORDS[1:3])
    number = _named(file, _WORDS[3], ())
    return ReadyHead(
        boxes=boxes[0].name,
        scores=scores,
        classes=classes,
        number=number,
        rows=rows,
        first_class=first_class,
        unit_px=(picture.width, picture.height),
    )


def _outputs(file: OnnxFile) -> list[TensorInfo]:
    """Return the outputs that tell what was found."""
    return [tensor for tensor in file.outputs if not any(word in tensor.name.lower() for word in _BESIDE)]


def _named(file: OnnxFile, word: str, shape: tuple[int, ...]) -> str:
    """Return the one output of a shape (without its batch axis) with a word in its name.

    Raises:
        Misfit: There is none, or several.
    """
    found = [tensor for tensor in _outputs(file) if tensor.shape[1:] == shape and word in tensor.name.lower()]
    if len(found) != 1:
        raise Misfit(f"{len(found) or 'none'} of its outputs is {word}s {_shown(shape)}")
    return found[0].name


def _shown(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, ('N', *shape)))}]"
