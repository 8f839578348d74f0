"""Classifiers: one picture in, one number for each class out.

What a classifier wants of a picture is not in its graph, so the custom of its exporter is taken: networks of
PyTorch (NCHW) get RGB less ImageNet's mean, over its deviation (torchvision's `transforms`); those of Keras and
TensorFlow (NHWC) get RGB 0 to 1, as do those whose metadata says that Ultralytics made them for `classify`. YOLOv5's
classifiers, whose metadata names classes and no task, are of torchvision's custom. One that begins by scaling
levels, as Keras's EfficientNet does, or by centring colours, shows it (`PictureInput`). A file that wants something
else is described (`--family custom`).
"""

from converters.families.colours import network_takes
from converters.families.family import Misfit, PictureInput, picture_input
from converters.families.graph_facts import operators
from converters.families.headed import Plan, PlannedFamily
from converters.families.heads.scores import ClassHead
from converters.families.ultralytics import Metadata, labels_of, metadata_of
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder, Layout

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_DEVIATION = (58.395, 57.12, 57.375)
"""Of ImageNet's training pictures, in levels, in RGB order."""
SCORE_THRESHOLD = 0.5
_ULTRALYTICS = "classify"
"""What `task` is in the metadata of Ultralytics' classifiers."""
_PROBABILITIES = ({"Softmax"}, {"Sigmoid"})
"""What a network ends in whose numbers are probabilities already: of one class among all, or of each by itself."""


class Classifier(PlannedFamily):
    """The family `classifier`."""

    name = "classifier"

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """
        picture, metadata = picture_input(file), metadata_of(file.model)
        head, end = class_head(file)
        from_zero_to_one, custom = _custom(picture, metadata)
        return Plan(
            why=f"one number for each of {head.classes} classes, {end}" + (f"; colours as {custom}" if custom else ""),
            picture=picture,
            preprocess=network_takes(
                picture,
                ChannelOrder.RGB,
                mean=(0.0,) if from_zero_to_one else IMAGENET_MEAN,
                gain=(1 / 255,) if from_zero_to_one else tuple(1 / side for side in IMAGENET_DEVIATION),
            ),
            head=head,
            classes=head.classes,
            labels=labels_of(metadata),
            score_threshold=SCORE_THRESHOLD,
        )


def _custom(picture: PictureInput, metadata: Metadata) -> tuple[bool, str]:
    """Return whether colours go from 0 to 1, not less ImageNet's mean over its deviation, and whose custom that is.

    Nobody's where the network itself says what goes in.
    """
    if picture.told:
        return False, ""
    if metadata.task == _ULTRALYTICS:
        return True, "Ultralytics, of whom its metadata is, has them: 0 to 1"
    if picture.layout is Layout.NHWC:
        return True, f"{picture.layout.value} has it: Keras's 0 to 1"
    return False, f"{picture.layout.value} has it: ImageNet's mean and deviation"


def class_head(file: OnnxFile) -> tuple[ClassHead, str]:
    """Read a classifier's only output, and say how its numbers end.

    Raises:
        Misfit: It is not one number for each class.
    """
    if len(file.outputs) != 1:
        raise Misfit(f"it has {len(file.outputs)} outputs, a classifier has one")
    output = file.outputs[0]
    match output.dtype, output.shape:
        case "FLOAT" | "FLOAT16", (_, int(classes)) | (_, int(classes), 1, 1) | (_, 1, 1, int(classes)) if classes > 1:
            last = set(operators(file.model.graph, output.name))
            logits = last not in _PROBABILITIES
            end = "still to go through a Softmax" if logits else f"through a {', '.join(last)}"
            return ClassHead(output=output.name, classes=classes, logits=logits), end
        case _:
            raise Misfit(f"its output is {output}, not FLOAT [N, classes]")
