"""A family that is told by one plan: what the network takes, which head it has, what the user may leave out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from converters.families.family import (
    BuildOptions,
    PictureInput,
    Recognition,
    labels_for,
    original_classifier,
    original_detector,
    source_of,
    verdict,
)
from converters.families.heads.head import Head
from converters.families.heads.scores import ClassHead
from converters.fuse import fuse
from converters.nv12 import luma_of
from converters.onnx_file import OnnxFile
from converters.preprocess import Preprocess
from converters.reference import OriginalClassifier, OriginalDetector
from converters.spec import BuiltModel, Letterbox, ModelSpec, Task, Tolerance

NO_SUPPRESSION = 1.0
"""Value of `nms_iou` for a network that gives each object once."""

ONE_LEVEL = Tolerance(box_px=0.25, score=2e-3)
"""What one colour value in 100,000 that lands a level away (see `nv12`) moves a box whose sides are fractions of the
canvas; on the very same planes heads agree to a few hundred-thousandths of a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a file is to be fused.

    Attributes:
        why: What in the graph showed it, in one line.
        picture: The network's input.
        preprocess: What it takes in place of bytes.
        head: How its outputs are read.
        classes: Number of classes; None where the outputs don't tell, and the labels do.
        labels: Their names where the family knows them (taken only when they are as many); the user's go before.
        keypoints: Names of a pose's keypoints.
        letterbox: Where the picture lies on the canvas.
        pad_level: Grey level (0 to 255) of the canvas outside the picture.
        score_threshold: Where the user gives none.
        nms_iou: Where the user gives none.
        tolerance: What `verify` accepts.
    """

    why: str
    picture: PictureInput
    preprocess: Preprocess
    head: Head | ClassHead
    classes: int | None
    labels: tuple[str, ...] | None = None
    keypoints: tuple[str, ...] = ()
    letterbox: Letterbox = Letterbox.STRETCH
    pad_level: int = 114
    score_threshold: float = 0.3
    nms_iou: float = NO_SUPPRESSION
    tolerance: Tolerance = ONE_LEVEL

    @property
    def reason(self) -> str:
        """`why`, and what goes in where the network itself says so, not its family's custom."""
        if self.picture.levels and self.preprocess.plain:
            return f"{self.why}; levels go in as they are, as {self.picture.levels}"
        if self.picture.shares and self.preprocess.from_zero_to_one:
            return f"{self.why}; colours go in from 0 to 1, as {self.picture.shares}"
        return self.why


class PlannedFamily(ABC):
    """A family whose only decision is the plan."""

    name: str

    @abstractmethod
    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse a file of this family.

        Raises:
            Misfit: It is of another.
        """

    def recognise(self, file: OnnxFile) -> Recognition:
        """Say whether the graph is of this family, and why."""
        return verdict(lambda: self.plan(file).reason)

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse a recognised model.

        Raises:
            ModelError: The labels don't fit the number of classes.
        """
        return build_planned(file, self.name, self.plan(file), options)


def build_planned(file: OnnxFile, family: str, plan: Plan, options: BuildOptions) -> BuiltModel:
    """Fuse a file as a plan says.

    Raises:
        ModelError: The labels don't fit the number of classes.
    """
    spec = _spec(plan, options)
    head = plan.head
    original: OriginalClassifier | OriginalDetector
    if isinstance(head, ClassHead):
        original = original_classifier(file, plan.preprocess, head.decode)
    else:
        original = original_detector(file, spec, plan.preprocess, head.decode)
    return BuiltModel(
        model=fuse(file.model, spec, plan.preprocess, head.append),
        spec=spec,
        source=source_of(file, options, family, Recognition(fits=True, why=plan.reason)),
        reference=original.from_nv12,
        picture_reference=original.from_bgr,
        tolerance=plan.tolerance,
    )


def _spec(plan: Plan, options: BuildOptions) -> ModelSpec:
    height, width = plan.picture.canvas
    task = Task.POSE if plan.keypoints else Task.DETECT
    if isinstance(plan.head, ClassHead):
        task = Task.CLASSIFY
    return ModelSpec(
        task=task,
        height=height,
        width=width,
        letterbox=plan.letterbox,
        pad_luma=luma_of(plan.pad_level),
        labels=_labels(plan, options),
        keypoints=plan.keypoints,
        score_threshold=plan.score_threshold if options.score_threshold is None else options.score_threshold,
        nms_iou=plan.nms_iou if options.nms_iou is None else options.nms_iou,
        max_detections=options.max_detections,
    )


def _labels(plan: Plan, options: BuildOptions) -> tuple[str, ...]:
    known = plan.labels or ()
    classes = len(options.labels or known) if plan.classes is None else plan.classes
    return labels_for(classes, options, dict(enumerate(known)) if len(known) == classes else None)
