"""What a model family is: how its graph is recognised, what goes in, how its head is decoded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from converters.dynamic_batch import fixed_batch
from converters.errors import ModelError
from converters.families.coco import COCO_80
from converters.families.graph_facts import Beginning, beginning_of
from converters.onnx_file import OnnxFile, TensorInfo
from converters.preprocess import Element, Layout, Preprocess
from converters.reference import DecodeHead, DecodeScores, Original, OriginalClassifier, OriginalDetector
from converters.spec import DEFAULT_MAX_DETECTIONS, BuiltModel, ModelSpec, Source

MAX_SIDE_PX = 8192
"""Largest height or width of a canvas that is taken for one."""
_FEWEST_LEVELS = 32
"""What is divided by as much, or has as much subtracted, are levels: deviations are 57 and more, means 103."""
_MIDDLE = (0.35, 0.65)
"""What lies here and is subtracted is a mean of colours from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """A family's verdict on a graph.

    Attributes:
        fits: Whether the graph is of the family.
        why: What in the graph decided it, in one line.
    """

    fits: bool
    why: str


class Misfit(Exception):  # noqa: N818  # a verdict, not an error
    """Why a graph is not of a family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the user may choose; None leaves it to the family.

    Attributes:
        labels: One name per class index.
        score_threshold: Rows below it are left out, 0 to 1.
        nms_iou: Overlap above which a box is suppressed, 0 to 1; 1 suppresses none.
        max_detections: Rows of the output.
        licence: Of the model file, for the manifest.
        size: Height and width in pixels, for a network that takes any.
        description: TOML file that says what the network is, for the family `custom`.
    """

    labels: tuple[str, ...] | None = None
    score_threshold: float | None = None
    nms_iou: float | None = None
    max_detections: int = DEFAULT_MAX_DETECTIONS
    licence: str | None = None
    size: tuple[int, int] | None = None
    description: Path | None = None


class Family(Protocol):
    """One module implements it; `families.FAMILIES` lists it."""

    @property
    def name(self) -> str:
        """What `--family` takes."""
        ...

    def recognise(self, file: OnnxFile) -> Recognition:
        """Say whether the graph is of this family, and why."""
        ...

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse a recognised model.

        Raises:
            ModelError: The options don't fit the model, or it can't be fused.
        """
        ...


@dataclass(frozen=True, slots=True)
class PictureInput:
    """A network's only input, as its shape and the graph's first operator show it.

    Attributes:
        name: As in the graph.
        height: Pixels; may be odd.
        width: Pixels; may be odd.
        channels: 1 or 3.
        layout: Where the colour axis lies.
        element: Type of its numbers.
        beginning: What the graph does with it first, where that is arithmetic with a constant.
    """

    name: str
    height: int
    width: int
    channels: int
    layout: Layout
    element: Element
    beginning: Beginning | None = None

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of the NV12 canvas: the next even ones."""
        return self.height + self.height % 2, self.width + self.width % 2

    @property
    def size(self) -> tuple[int, int] | None:
        """What `Preprocess.size` is to be: None where the network covers its canvas."""
        return None if self.canvas == (self.height, self.width) else (self.height, self.width)

    @property
    def levels(self) -> str:
        """Why it takes levels as they are, whatever its family's custom; empty where nothing says so."""
        if self.element in (Element.UINT8, Element.INT8):
            return f"its input is {self.element}"
        match self.beginning:
            case Beginning("Mul", least, most) if least > 0 and most <= 1 / _FEWEST_LEVELS:
                pass
            case Beginning("Div" | "Sub", least, _) if least >= _FEWEST_LEVELS:
                pass
            case Beginning("Add", _, most) if most <= -_FEWEST_LEVELS:
                pass
            case _:
                return ""
        return f"its graph scales them itself, beginning with {self.beginning}"

    @property
    def shares(self) -> str:
        """Why it takes colours from 0 to 1, whatever its family's custom; empty where nothing says so."""
        match self.beginning:
            case Beginning("Sub", least, most) if _MIDDLE[0] <= least and most <= _MIDDLE[1]:
                pass
            case Beginning("Add", least, most) if -_MIDDLE[1] <= least and most <= -_MIDDLE[0]:
                pass
            case _:
                return ""
        return f"its graph centres them itself, beginning with {self.beginning}"

    @property
    def told(self) -> bool:
        """Whether the network itself says what goes in, which goes before its family's custom."""
        return bool(self.levels or self.shares)


def verdict(why: Callable[[], str]) -> Recognition:
    """Return the verdict of a function that says why a graph fits, or raises `Misfit` with why it doesn't."""
    try:
        return Recognition(fits=True, why=why())
    except Misfit as misfit:
        return Recognition(fits=False, why=str(misfit))


def picture_input(file: OnnxFile) -> PictureInput:
    """Read the only input of a network as a picture of fixed size, NCHW or NHWC.

    Raises:
        Misfit: It has several inputs, or one that is no such picture.
    """
    if len(file.inputs) != 1:
        names = ", ".join(tensor.name for tensor in file.inputs[:4])
        raise Misfit(
            f"it has {len(file.inputs)} inputs ({names}), where one picture is expected; sizes and masks belong to a "
            "post-processor: export the network without it, ending in logits and boxes"
        )
    tensor = file.inputs[0]
    match tensor.shape:
        case (_, 1 | 3 as channels, int(height), int(width)):
            layout = Layout.NCHW
        case (_, int(height), int(width), 1 | 3 as channels):
            layout = Layout.NHWC
        case _:
            raise Misfit(
                f"its input is {tensor}, not a picture [N, 3, H, W] or [N, H, W, 3] with fixed H and W; "
                "if it takes any size, choose one with --size WIDTHxHEIGHT"
            )
    if tensor.dtype not in set(Element):
        raise Misfit(f"its input is {tensor}, of none of the types {', '.join(Element)}")
    if not (2 <= height <= MAX_SIDE_PX and 2 <= width <= MAX_SIDE_PX):
        raise Misfit(f"its input is {tensor}; pictures have 2 to {MAX_SIDE_PX} pixels a side")
    beginning = beginning_of(file.model.graph, tensor.name)
    return PictureInput(tensor.name, height, width, channels, layout, Element(tensor.dtype), beginning)


def sole_output(file: OnnxFile, wanted: str, fits: Callable[[tuple[int | str, ...]], bool]) -> TensorInfo:
    """Return the one output whose shape fits, where all others are no floats or fit too little.

    Args:
        file: The model.
        wanted: What fits, for the message: `FLOAT [N, 300, 6]`.
        fits: Judges a shape, batch axis included.

    Raises:
        Misfit: No output fits, or several do.
    """
    found = [tensor for tensor in file.outputs if tensor.dtype in ("FLOAT", "FLOAT16") and fits(tensor.shape)]
    if len(found) == 1:
        return found[0]
    given = ", ".join(map(str, file.outputs[:4])) + (", ..." if len(file.outputs) > 4 else "")
    raise Misfit(f"its output is {given}; {len(found) or 'none'} of {len(file.outputs)} is {wanted}")


def labels_for(classes: int, options: BuildOptions, named: Mapping[int, str] | None = None) -> tuple[str, ...]:
    """Return one label for each class: the user's, the file's, COCO's for 80 classes, else numbered ones.

    Args:
        classes: How many there are.
        options: Of the user.
        named: Names that the file itself gives, by class.

    Raises:
        ModelError: The user's labels are more or fewer than the classes.
    """
    if options.labels is not None:
        if len(options.labels) != classes:
            raise ModelError(f"{len(options.labels)} labels for {classes} classes; give one line for each class")
        return options.labels
    if named is not None and set(named) == set(range(classes)):
        return tuple(named[index] for index in range(classes))
    return COCO_80 if classes == len(COCO_80) else tuple(f"class_{index}" for index in range(classes))


def source_of(file: OnnxFile, options: BuildOptions, family: str, recognition: Recognition, **details: str) -> Source:
    """Return where a fused model came from; `details` go into the manifest."""
    return Source(
        name=file.name,
        sha256=file.sha256,
        licence=options.licence,
        family=family,
        why=recognition.why,
        details=(*file.origin, *details.items()),
    )


def original_detector(file: OnnxFile, spec: ModelSpec, preprocess: Preprocess, decode: DecodeHead) -> OriginalDetector:
    """Return the unchanged file as the reference of its fused graph."""
    rows, columns = preprocess.size or (spec.height, spec.width)
    return OriginalDetector(original_of(file, preprocess), spec, decode, (spec.width / columns, spec.height / rows))


def original_classifier(file: OnnxFile, preprocess: Preprocess, decode: DecodeScores) -> OriginalClassifier:
    """Return the unchanged file as the reference of its fused graph."""
    return OriginalClassifier(original_of(file, preprocess), decode)


def original_of(file: OnnxFile, preprocess: Preprocess) -> Original:
    """Return the unchanged file, to be asked about pictures."""
    return Original(file.data, preprocess, batch=fixed_batch(file.model, file.inputs[0].name) or 1)
