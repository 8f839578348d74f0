"""Any network whose head is of a known kind, as a description says: which tensors, and what it takes of a picture."""

from dataclasses import replace

import msgspec

from converters.families import description as said
from converters.families.described_heads import Reading, read_head
from converters.families.family import BuildOptions, Misfit, PictureInput, picture_input
from converters.families.headed import NO_SUPPRESSION, Plan
from converters.families.units import SeenUnits
from converters.onnx_file import OnnxFile
from converters.preprocess import ChannelOrder, Element, Preprocess
from converters.spec import BuiltModel

NMS_IOU = 0.45
_INTEGERS = {Element.UINT8: (0, 255), Element.INT8: (-128, 127)}
_FEWEST_STEPS = 64
"""Of an integer input, that the darkest and the brightest level are to lie apart."""
_GIVES_EACH_ONCE = (said.Heatmap, said.Queries, said.Suppressed, said.Simcc, said.Scores)


class Custom(SeenUnits):
    """The family `custom`, made for one description."""

    name = "custom"

    def __init__(self, description: said.Description) -> None:
        self._description = description

    def plan(self, file: OnnxFile) -> Plan:
        """Return how to fuse the described file.

        Raises:
            Misfit: The file isn't as described.
        """
        table, picture = self._description.head, picture_input(file)
        reading = read_head(table, file, picture)
        once = isinstance(table, _GIVES_EACH_ONCE)
        nms_iou = self._description.nms_iou or (NO_SUPPRESSION if once else NMS_IOU)
        if reading.classes is None and not self._description.labels:
            raise Misfit("its outputs don't tell the number of classes; give labels in the description")
        return Plan(
            why=f"described by the user: {type(table).__name__.lower()}",
            picture=picture,
            preprocess=_preprocess(self._description.input, picture),
            head=reading.head,
            classes=reading.classes,
            labels=self._labels(reading),
            keypoints=self._keypoints(reading),
            letterbox=self._description.input.letterbox,
            pad_level=self._description.input.pad,
            score_threshold=self._description.score_threshold,
            nms_iou=nms_iou,
        )

    def build(self, file: OnnxFile, options: BuildOptions) -> BuiltModel:
        """Fuse the described file; the manifest keeps the description.

        Raises:
            ModelError: The labels don't fit the number of classes.
        """
        built = super().build(file, options)
        kept = ("description", msgspec.json.encode(self._description).decode())
        return replace(built, source=replace(built.source, details=(*built.source.details, kept)))

    def _labels(self, reading: Reading) -> tuple[str, ...] | None:
        labels = self._description.labels
        if labels is not None and reading.classes not in (None, len(labels)):
            raise Misfit(f"the description names {len(labels)} classes, the outputs have {reading.classes}")
        return labels

    def _keypoints(self, reading: Reading) -> tuple[str, ...]:
        names = self._description.keypoints
        if names is None:
            return tuple(f"keypoint_{index}" for index in range(reading.keypoints))
        if len(names) != reading.keypoints:
            raise Misfit(f"the description names {len(names)} keypoints, the outputs have {reading.keypoints}")
        return names


def _preprocess(given: said.Input, picture: PictureInput) -> Preprocess:
    planes = 1 if given.colour is ChannelOrder.GREY else 3
    if picture.channels != planes or not {len(given.mean), len(given.std)} <= {1, planes}:
        raise Misfit(
            f"its picture has {picture.channels} planes; the description's colour {given.colour.value}, mean and std "
            f"have {planes}, {len(given.mean)} and {len(given.std)}"
        )
    mean = tuple(value * given.scale for value in given.mean)
    gain = tuple(1 / (value * given.scale) for value in given.std)
    _check_steps(picture, mean, gain)
    return Preprocess(
        order=given.colour,
        mean=mean,
        gain=gain,
        layout=picture.layout,
        element=picture.element,
        size=picture.size,
    )


def _check_steps(picture: PictureInput, mean: tuple[float, ...], gain: tuple[float, ...]) -> None:
    """Refuse what an integer input would round to a few steps, or cut off.

    Raises:
        Misfit: It would.
    """
    if picture.element not in _INTEGERS:
        return
    smallest, largest = _INTEGERS[picture.element]
    planes = list(zip(*(values * (picture.channels // len(values)) for values in (mean, gain)), strict=True))
    low, high = min((0 - less) * by for less, by in planes), max((255 - less) * by for less, by in planes)
    if min(gain) * 255 < _FEWEST_STEPS or low < smallest - 0.5 or high > largest + 0.5:
        raise Misfit(
            f"its input is {picture.element}, {smallest} to {largest}, where the description makes {low:.3g} to "
            f"{high:.3g} of a picture's levels; for levels as they are say scale = 1"
            + (" and mean = [128]" if picture.element is Element.INT8 else "")
        )
