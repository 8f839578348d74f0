"""The model families that can be converted, and the choice of the one that fits."""

from pathlib import Path

from converters.errors import ModelError, UsageError
from converters.families.classifier import Classifier
from converters.families.custom import Custom
from converters.families.description import read_description
from converters.families.detr import Detr, RtDetr
from converters.families.end_to_end import Yolov10
from converters.families.family import BuildOptions, Family, Recognition
from converters.families.fastestdet import FastestDet
from converters.families.nanodet import NanoDet
from converters.families.posenet import PoseNet
from converters.families.retinaface import RetinaFace
from converters.families.simcc import Simcc
from converters.families.tf_detection import TfDetection
from converters.families.yolo import Yolov5, Yolov8, Yolov8Pose, YoloxDecoded
from converters.families.yolox import Yolox
from converters.onnx_file import OnnxFile

__all__ = ["AUTO", "FAMILIES", "BuildOptions", "Family", "Recognition", "choose", "recognise"]

AUTO = "auto"
_ALL: tuple[Family, ...] = (
    Yolox(),
    Yolov5(),
    YoloxDecoded(),
    Yolov8(),
    Yolov8Pose(),
    Yolov10(),
    FastestDet(),
    NanoDet(),
    Detr(),
    RtDetr(),
    TfDetection(),
    PoseNet(),
    Simcc(),
    RetinaFace(),
    Classifier(),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}


def recognise(file: OnnxFile, name: str = AUTO) -> dict[str, Recognition]:
    """Ask one family, or all of them, about a graph.

    Raises:
        UsageError: No family has that name.
    """
    if name != AUTO and name not in FAMILIES:
        raise UsageError(f"no family is called {name!r}; there are: {AUTO}, {', '.join(FAMILIES)}")
    asked = FAMILIES if name == AUTO else {name: FAMILIES[name]}
    return {key: family.recognise(file) for key, family in asked.items()}


def choose(file: OnnxFile, name: str = AUTO, description: Path | None = None) -> tuple[Family, Recognition]:
    """Return the one family that the graph is of; with a description, the family that it makes.

    Raises:
        UsageError: No family has that name, or it and the description don't go together.
        ModelError: No family fits, or several do.
    """
    if name == Custom.name or description is not None:
        return _described(file, name, description)
    verdicts = recognise(file, name)
    fitting = [key for key, verdict in verdicts.items() if verdict.fits]
    if len(fitting) == 1:
        return FAMILIES[fitting[0]], verdicts[fitting[0]]
    if fitting:
        raise ModelError(f"{file.name} fits several families: {', '.join(fitting)}; choose one with --family")
    tried = "\n".join(f"  not {key}: {verdict.why}" for key, verdict in verdicts.items())
    raise ModelError(
        f"{file.name} is of no family that can be converted\n{tried}\n"
        f"export it so that one of these fits (--family takes: {AUTO}, {', '.join(FAMILIES)}), "
        "describe it (--family custom --description FILE.toml), "
        "or publish it undecoded, for direct calls, with --task raw"
    )


def _described(file: OnnxFile, name: str, description: Path | None) -> tuple[Family, Recognition]:
    if name != Custom.name or description is None:
        raise UsageError("--family custom and --description FILE go together: the file says what the network is")
    family = Custom(read_description(description))
    recognition = family.recognise(file)
    if not recognition.fits:
        raise ModelError(f"{file.name} is not as {description} describes it: {recognition.why}")
    return family, recognition
