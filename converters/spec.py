"""The values that a conversion is made of: what a model is, how it is to be served, where it came from."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import onnx
from numpy.typing import NDArray

from converters.errors import UsageError

CONTRACT = "1"
"""Value of `ruth.contract` in every published config.pbtxt."""

INPUT_NAME = "frames"
DETECTIONS_NAME = "detections"
COUNT_NAME = "num_detections"
SCORES_NAME = "scores"
SCORE_THRESHOLD_NAME = "ruth/score_threshold"
DEFAULT_MAX_DETECTIONS = 100

_NAME = re.compile(r"[a-z0-9_]{1,64}")


class Task(StrEnum):
    """What the model says about a picture (`ruth.task`)."""

    DETECT = "detect"
    POSE = "pose"
    CLASSIFY = "classify"


class Letterbox(StrEnum):
    """Where the picture lies on the model's canvas (`ruth.letterbox`)."""

    CENTER = "center"
    TOP_LEFT = "top_left"
    STRETCH = "stretch"


class Precision(StrEnum):
    """Arithmetic of the published graph (`ruth.precision`)."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Ranges(StrEnum):
    """How INT8 reads the range of an activation off the calibration frames."""

    MINMAX = "minmax"
    ENTROPY = "entropy"
    PERCENTILE = "percentile"


class View(StrEnum):
    """In which ways up a detector looks at each frame."""

    UPRIGHT = "upright"
    ROT90 = "rot90"


class Target(StrEnum):
    """The machine that will serve the model."""

    CPU = "cpu"
    CUDA = "cuda"
    L4T = "l4t"


class Accelerator(StrEnum):
    """What runs the graph inside ONNX Runtime on a GPU."""

    NONE = "none"
    TENSORRT = "tensorrt"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What the gateway must know to feed a detector and to read its answer.

    Attributes:
        task: What the model says about a picture.
        height: Canvas height in pixels; even.
        width: Canvas width in pixels; even.
        letterbox: Where the picture lies on the canvas.
        pad_luma: Y of the canvas outside the picture, 0 to 255; its chroma is 128.
        labels: One name per class index.
        keypoints: One name per keypoint; empty for a plain detector.
        score_threshold: Rows below it are left out, 0 to 1.
        nms_iou: Overlap above which the lower-scored box of one class is suppressed, 0 to 1; 1 suppresses none, as
            suits a network that gives each object once.
        max_detections: Rows of the `detections` output; a classifier has none.
        precision: Arithmetic of the graph.

    Raises:
        UsageError: A value is out of its range.
    """

    task: Task
    height: int
    width: int
    letterbox: Letterbox
    pad_luma: int
    labels: tuple[str, ...]
    keypoints: tuple[str, ...] = ()
    score_threshold: float
    nms_iou: float
    max_detections: int = DEFAULT_MAX_DETECTIONS
    precision: Precision = Precision.FP32

    def __post_init__(self) -> None:
        if self.height < 2 or self.width < 2 or self.height % 2 or self.width % 2:
            raise UsageError(f"NV12 needs an even canvas of at least 2 x 2, not {self.width} x {self.height}")
        if not 0 <= self.pad_luma <= 255:
            raise UsageError(f"the pad luma is a byte (0 to 255), not {self.pad_luma}")
        if not (0 < self.score_threshold < 1 and 0 < self.nms_iou <= 1):
            raise UsageError("a score threshold lies between 0 and 1, an NMS overlap too, or is 1 to suppress nothing")
        if not 1 <= self.max_detections <= 10_000:
            raise UsageError(f"max detections is between 1 and 10000, not {self.max_detections}")

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of one NV12 frame: `(height * 3 / 2, width)`."""
        return self.height * 3 // 2, self.width

    @property
    def row_width(self) -> int:
        """Columns of one `detections` row: box, score, class, then x, y, score of each keypoint."""
        return 6 + 3 * len(self.keypoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How Triton is to run the model.

    Attributes:
        target: The machine that will serve it.
        max_batch_size: Largest dynamic batch, 1 to 1024.
        instances: Copies of the model that run at once, 1 to 64.
        threads: ONNX Runtime intra-op threads of each copy, 1 to 256.
        max_queue_delay_microseconds: Longest wait for a fuller batch.
        max_queue_size: Requests that may wait; one more is refused at once.
        queue_timeout_microseconds: A request that waited longer is refused; a caller may ask for less.
        warmup_file: Name of one NV12 frame below `warmup/`, run in each batch size before the model is ready; empty
            for none.
        accelerator: What runs the graph inside ONNX Runtime.

    Raises:
        UsageError: A value is out of its range, or an accelerator is asked for on a CPU.
    """

    target: Target
    max_batch_size: int = 8
    instances: int
    threads: int
    max_queue_delay_microseconds: int = 500
    max_queue_size: int = 64
    queue_timeout_microseconds: int = 2_000_000
    warmup_file: str = ""
    accelerator: Accelerator = Accelerator.NONE

    def __post_init__(self) -> None:
        if self.target is Target.CPU and self.accelerator is not Accelerator.NONE:
            raise UsageError(f"--accelerator {self.accelerator} needs a GPU: add --target cuda or --target l4t")
        for name, most in (("max_batch_size", 1024), ("instances", 64), ("threads", 256), ("max_queue_size", 65_536)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name} is between 1 and {most}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a model came from.

    Attributes:
        name: File name without its folder, or what stands in for it (`opencv HOGDescriptor 4.12.0`).
        sha256: Hex digest of the file, or of the coefficients that stand in for it.
        licence: As the user gave it; None when unknown.
        family: Registry name of the family or builtin.
        why: What in the graph showed that it is of this family, in one line.
        details: Further facts for the manifest (`preprocess`, `decode`, parity figures of a builtin, ...).
    """

    name: str
    sha256: str
    licence: str | None
    family: str
    why: str
    details: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Largest difference from the reference that `verify` accepts for a matched row.

    Attributes:
        box_px: Of any box edge, in pixels of the canvas. The default leaves room for the one colour value in 100,000
            that FP32 puts one level away from OpenCV's 28-bit integers (see `nv12`).
        score: Absolute.
    """

    box_px: float = 1e-2
    score: float = 1e-3


Reference = Callable[[NDArray[np.uint8], float], list[NDArray[np.float32]]]
"""`(pictures, score_threshold)` → rows: uint8 `[b, ...]` and a threshold in, per picture one float32 `[n, 6 + 3K]`
out, best first, in canvas pixels. Of a classifier, per picture the scores float32 `[C]`, whatever the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModel:
    """A fused graph, what it is, and what it has to agree with: what families and builtins hand to `publish`.

    Attributes:
        model: Input `frames` UINT8 `[batch, height * 3 / 2, width]` (NV12, limited-range BT.601), outputs
            `detections` FP32 `[batch, max_detections, 6 + 3K]` and `num_detections` INT32 `[batch, 1]`;
            `batch` symbolic, standard ONNX operators only. Its score threshold is the initializer
            `SCORE_THRESHOLD_NAME` (FLOAT, one value; `nms.append_nms` makes it), so that `verify` can lower it
            and compare many rows even on pictures that hold no object. A classifier has one output instead, `scores`
            FLOAT `[batch, C]`, 0 to 1.
        spec: What the gateway must know of it.
        source: Where it came from.
        reference: The same answer by other means, from NV12 frames uint8 `[b, height * 3 / 2, width]`. It
            shares no code with the graph. Rows are those the graph should report at the given threshold:
            suppressed, cut at `max_detections`, best first.
        picture_reference: The same from BGR canvases uint8 `[b, height, width, 3]` that never went through
            NV12; tells what lost chroma resolution costs. None where the model looks at luma alone.
        tolerance: What `verify` accepts between graph and reference.
        figures: What another precision than FP32 cost and gained, for the manifest.
    """

    model: onnx.ModelProto
    spec: ModelSpec
    source: Source
    reference: Reference
    picture_reference: Reference | None = None
    tolerance: Tolerance = Tolerance()
    figures: Mapping[str, object] = field(default_factory=dict[str, object])


def checked_name(name: str) -> str:
    """Return a model name that is safe as a folder and a URL segment.

    Raises:
        UsageError: The name isn't 1 to 64 of lower-case letters, digits and `_`.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't be a model name: use 1 to 64 of a-z, 0-9 and _, such as people_416")
    return name
