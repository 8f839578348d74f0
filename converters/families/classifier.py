"""Classifiers: one picture in, one number for each class out.

What a classifier wants of a picture is not in its graph, so the custom of its exporter is taken: networks of
PyTorch (NCHW) get RGB less ImageNet's mean, over its deviation (torchvision's `transforms`); those of Keras and
TensorFlow (NHWC) get RGB 0 to 1. A file that wants something else is described (`--family custom`).
"""

from converters.families.family import Misfit, picture_input
from converters.families.graph_facts import operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.scores import ClassHead
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder, Layout, Preprocess

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""Of ImageNet's training pictures, in levels, in RGB order."""
SCORE_THRESHOLD = 0.5


class Classifier(PlannedFamily):
    """The family `classifier`."""

    name = "classifier"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture = picture_input(file)
        head = class_head(file)
        custom = "Keras's 0 to 1" if picture.layout is Layout.NHWC else "ImageNet's mean and deviation"
        end = "still to go through a Softmax" if head.logits else "through a Softmax"
        return Plan(
            why=f"one number for each of {head.classes} classes, {end}; colours as {picture.layout.value} has it: "
            f"{custom}",
            picture=picture,
            preprocess=Preprocess(
                order=ChannelOrder.RGB,
                mean=(0.0,) if picture.layout is Layout.NHWC else IMAGENET_MEAN,
                gain=(1 / 255,) if picture.layout is Layout.NHWC else tuple(1 / side for side in IMAGENET_DEVIATION),
                layout=picture.layout,
                element=picture.element,
                size=picture.size,
            ),
            head=head,
            classes=head.classes,
            score_threshold=SCORE_THRESHOLD,
        )


def class_head(file: OnnxFile) -> ClassHead:
    """Read a classifier's only output.

    Raises:
        Misfit: It is not one number for each class.
    """
    if len(file.outputs) != 1:
        raise Misfit(f"it has {len(file.outputs)} outputs, a classifier has one")
    output = file.outputs[0]
    match output.dtype, output.shape:
        case "FLOAT" | "FLOAT16", (_, int(classes)) | (_, int(classes), 1, 1) | (_, 1, 1, int(classes)) if classes > 1:
            logits = operators(file.model.graph, output.name) != ["Softmax"]
            return ClassHead(output=output.name, classes=classes, logits=logits)
        case _:
            raise Misfit(f"its output is {output}, not FLOAT [N, classes]")
