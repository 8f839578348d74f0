"""What a network is given in place of a picture's levels: its family's custom, or the levels themselves."""

from converters.families.family import Misfit, PictureInput
from converters.preprocess import ChannelOrder, Element, Preprocess


def network_takes(
    picture: PictureInput, order: ChannelOrder, *, mean: tuple[float, ...] = (0.0,), gain: tuple[float, ...] = (1.0,)
) -> Preprocess:
    """Return what a network of three planes takes.

    Integers can't hold what families feed FLOAT: rounded, it would be black or white. An exporter of such a network
    puts the scaling inside, so UINT8 gets levels 0 to 255 as they are, and INT8 the same less 128. FLOAT gets
    levels, or colours from 0 to 1, where the graph begins by scaling or centring them itself, as many of Keras do.

    Args:
        picture: The network's input.
        order: Of its colour planes.
        mean: The family's custom for FLOAT, in levels.
        gain: Likewise, multiplied in afterwards.

    Raises:
        Misfit: The input takes one plane only.
    """
    if picture.channels != 3:
        raise Misfit(
            f"its input has {picture.channels} plane, where this family's networks take three; describe it "
            '(--family custom, colour = "grey")'
        )
    mean, gain = _customary(picture, mean, gain)
    return Preprocess(
        order=order,
        mean=mean,
        gain=gain,
        layout=picture.layout,
        element=picture.element,
        zero_point=-128 if picture.element is Element.INT8 else 0,
        size=picture.size,
    )


def _customary(
    picture: PictureInput, mean: tuple[float, ...], gain: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and gain of the custom, or of what the network says otherwise."""
    if picture.levels:
        return (0.0,), (1.0,)
    if picture.shares and max(gain) < 1:
        return (0.0,), (1 / 255,)
    return mean, gain
