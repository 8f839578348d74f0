"""What a user says of a network that no family recognises: a small TOML file, read strictly.

    labels = ["helmet", "vest"]

    [input]
    colour = "rgb"
    scale = 255
    mean = [0.485, 0.456, 0.406]
    std = [0.229, 0.224, 0.225]
    letterbox = "center"

    [head]
    kind = "queries"
    logits = "logits"
    boxes = "pred_boxes"

A number of a head that the shapes of its outputs tell is not asked for.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from converters.errors import ModelError
from converters.preprocess import ChannelOrder
from converters.spec import Letterbox

MAX_BYTES = 1 << 20

Level = Annotated[int, Meta(ge=0, le=255)]
Share = Annotated[float, Meta(gt=0, le=1)]
Above = Annotated[float, Meta(gt=0)]
Planes = Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)]
Deviations = Annotated[tuple[Above, ...], Meta(min_length=1, max_length=3)]


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[input]`: a network takes `(level / scale - mean) / std`.

    Attributes:
        colour: Colour planes and their order.
        scale: Levels (0 to 255) are divided by it first.
        mean: Of the scaled levels, in plane order.
        std: Their deviation, in plane order.
        letterbox: Where the picture lies on the canvas.
        pad: Grey level of the canvas outside the picture.
    """

    colour: ChannelOrder = ChannelOrder.RGB
    scale: Above = 255.0
    mean: Planes = (0.0,)
    std: Deviations = (1.0,)
    letterbox: Letterbox = Letterbox.STRETCH
    pad: Level = 114


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """The table `[head]`; `kind` chooses one of these."""


class Rows(_Head, frozen=True, tag="rows"):
    """YOLO's table of decoded rows (`heads.yolo`): box, objectness where there is one, classes, keypoints.

    Whether places are in pixels or in fractions of the picture is seen by running the network (`units`).
    """

    output: str
    objectness: bool = False
    columns_first: bool = False
    keypoints: Annotated[int, Meta(ge=0)] = 0


class Grid(_Head, frozen=True, tag="grid"):
    """FastestDet's grid (`heads.grid`)."""

    output: str


class Heatmap(_Head, frozen=True, tag="heatmap"):
    """Heat maps and offsets of one person (`heads.heatmap`)."""

    heatmap: str
    offsets: str
    stride: Annotated[int, Meta(ge=1)]
    channels_last: bool = False
    logits: bool = False


class Queries(_Head, frozen=True, tag="queries"):
    """Object queries (`heads.transformer`)."""

    logits: str
    boxes: str
    no_object: bool = False


class Distribution(_Head, frozen=True, tag="distribution"):
    """Scores and box distributions (`heads.distribution`), in one table or in two for each stride."""

    scores: Annotated[tuple[str, ...], Meta(min_length=1)]
    bins: Annotated[tuple[str, ...], Meta(min_length=1)]
    strides: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(min_length=1)]
    anchor: Literal["corner", "middle"] = "middle"
    bins_per_side: Annotated[int, Meta(ge=2)] = 8


class Suppressed(_Head, frozen=True, tag="suppressed"):
    """Boxes that the network suppressed itself (`heads.ready`).

    Without `scores` they are the boxes' fifth column; without `number` every row counts.
    """

    boxes: str
    classes: str
    scores: str | None = None
    number: str | None = None
    corners: Literal["yxyx", "xyxy"] = "yxyx"
    unit: Literal["fraction", "pixel"] = "fraction"
    first_class: Annotated[int, Meta(ge=0)] = 0


class Simcc(_Head, frozen=True, tag="simcc"):
    """Bins along x and y for each keypoint of one person (`heads.simcc`)."""

    x: str
    y: str


class Priors(_Head, frozen=True, tag="priors"):
    """RetinaFace's boxes and landmarks (`heads.priors`)."""

    boxes: str
    scores: str
    landmarks: str


class Scores(_Head, frozen=True, tag="scores"):
    """A classifier's numbers (`heads.scores`)."""

    output: str
    logits: bool = False


HeadTable = Rows | Grid | Heatmap | Queries | Distribution | Suppressed | Simcc | Priors | Scores


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        head: How the outputs are read.
        input: What the network takes.
        labels: One name for each class.
        keypoints: One name for each keypoint.
        score_threshold: Where the command line gives none.
        nms_iou: Where the command line gives none; 1 suppresses nothing, as suits heads that give each object once.
    """

    head: HeadTable
    input: Input = Input()
    labels: tuple[str, ...] | None = None
    keypoints: tuple[str, ...] | None = None
    score_threshold: Share = 0.3
    nms_iou: Share | None = None


def read_description(path: Path) -> Description:
    """Read a description.

    Raises:
        ModelError: The file can't be read, is no TOML, or says what a description doesn't.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ModelError(f"description {path} is longer than {MAX_BYTES} bytes; give a small TOML file")
        return msgspec.convert(tomllib.loads(data.decode("utf-8")), Description)
    except OSError as error:
        raise ModelError(f"description {path} can't be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"description {path} is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ModelError(f"description {path}: {error}. {_known()}; docs/converting.md shows one") from error


def _known() -> str:
    """Say what a description may hold."""
    kinds = [str(kind.__struct_config__.tag) for kind in get_args(HeadTable)]
    above = [name for name in Description.__struct_fields__ if name not in ("head", "input")]
    return (
        f"It takes {', '.join(above)}, then [input] with {', '.join(Input.__struct_fields__)}, and [head], whose kind "
        f"is one of {', '.join(kinds)}"
    )
