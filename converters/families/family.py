"""What a model family is: how its graph is recognised, what goes in, how its head is decoded."""

from dataclasses import dataclass
from typing import Protocol

from converters.onnx_file import OnnxFile
from converters.spec import BuiltModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """A family's verdict on a graph.

    Attributes:
        fits: Whether the graph is of the family.
        why: What in the graph decided it, in one line.
    """

    fits: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What the user may choose; None leaves it to the family.

    Attributes:
        labels: One name per class index.
        score_threshold: Rows below it are left out, 0 to 1.
        nms_iou: Overlap above which a box is suppressed, 0 to 1.
        max_detections: Rows of the output.
        licence: Of the model file, for the manifest.
    """

    labels: tuple[str, ...] | None = None
    score_threshold: float | None = None
    nms_iou: float | None = None
    max_detections: int = 100
    licence: str | None = None


class Family(Protocol):
    """One module implements it; `families.FAMILIES` lists it."""

    name: str

    def recognise(self, file: OnnxFile) -> Recognition:
        """Say whether the graph is of this family, and why."""
        ...

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse a recognised model.

        Raises:
            ModelError: The options don't fit the model, or it can't be fused.
        """
        ...
