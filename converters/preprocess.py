"""What a network takes in place of a picture's bytes."""

from dataclasses import dataclass
from enum import StrEnum

from converters.errors import UsageError


class ChannelOrder(StrEnum):
    """The colour planes a network was trained on, and their order."""

    BGR = "bgr"
    RGB = "rgb"
    GREY = "grey"


class Layout(StrEnum):
    """Where the colour axis of a network's input lies."""

    NCHW = "nchw"
    NHWC = "nhwc"


class Element(StrEnum):
    """Type of the numbers a network takes, under its ONNX name."""

    FLOAT = "FLOAT"
    FLOAT16 = "FLOAT16"
    UINT8 = "UINT8"
    INT8 = "INT8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """How levels (0 to 255) become a network's input: `(level - mean) * gain`, then quantised where it takes integers.

    Attributes:
        order: Colour planes and their order.
        mean: Subtracted from every level, in levels, in plane order; one value stands for all planes.
        gain: Multiplied in afterwards, in plane order; one value stands for all planes.
        layout: Where the colour axis lies.
        element: Type of the network's numbers.
        scale: Of an integer input: the value that one step stands for. `q = round(value / scale) + zero_point`.
        zero_point: Of an integer input: what stands for 0.
        size: Height and width of the network where they differ from the canvas: the next even one is scaled down to an
            odd size. None for the canvas itself.

    Raises:
        UsageError: The numbers of values don't fit the planes, or the quantisation doesn't fit the type.
    """

    order: ChannelOrder
    mean: tuple[float, ...] = (0.0,)
    gain: tuple[float, ...] = (1.0,)
    layout: Layout = Layout.NCHW
    element: Element = Element.FLOAT
    scale: float = 1.0
    zero_point: int = 0
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("gain", self.gain)):
            if len(values) not in (1, self.planes):
                raise UsageError(f"{name} takes 1 or {self.planes} values for {self.order.value}, not {len(values)}")
        lowest, highest = (-128, 127) if self.element is Element.INT8 else (0, 255)
        if not self.scale > 0 or not lowest <= self.zero_point <= highest:
            raise UsageError(
                f"a scale is above 0 and a zero point of {self.element.value} in {lowest} to {highest}, "
                f"not {self.scale:g} and {self.zero_point}"
            )

    @property
    def planes(self) -> int:
        """Colour planes of the input: 1 or 3."""
        return 1 if self.order is ChannelOrder.GREY else 3

    @property
    def quantised(self) -> bool:
        """Whether the network takes integers."""
        return self.element in (Element.UINT8, Element.INT8)

    @property
    def plain(self) -> bool:
        """Whether a network gets levels as they are; one of INT8 gets them less 128."""
        return not any(self.mean) and all(gain == self.scale for gain in self.gain)

    @property
    def from_zero_to_one(self) -> bool:
        """Whether a network gets colours from 0 to 1."""
        return not self.quantised and not any(self.mean) and all(gain == 1 / 255 for gain in self.gain)
