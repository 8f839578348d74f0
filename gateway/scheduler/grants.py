"""What each camera of one runtime gets of what it asks for."""

import math
from collections.abc import Iterable

import msgspec


class Grant(msgspec.Struct, frozen=True):
    """Frames per second that a camera gets of a model, and why it isn't what was wanted.

    Attributes:
        wanted_fps: What is asked for.
        granted_fps: What it gets.
        reason: Why it is less, in words for a person; empty when it isn't.
        runtime_id: Where the frames go; None while nowhere.
    """

    wanted_fps: float
    granted_fps: float
    reason: str = ""
    runtime_id: str | None = None


def water_level(demands: Iterable[tuple[float, int]], capacity_fps: float) -> float:
    """The level at which a capacity is used up when each demand gets `min(fps, weight * level)`.

    That share is max-min fair by weight: nobody gets more than asked for, and who gets less gets as much per weight as
    anyone does. Progressive filling (Bertsekas and Gallager, Data Networks, 6.5.2).

    Args:
        demands: Frames per second asked for, at least 0, and weight, at least 1.
        capacity_fps: What there is.

    Returns:
        The level in frames per second for a weight of 1; infinite where all can have what they ask for.
    """
    demands = list(demands)
    if sum(fps for fps, _ in demands) <= capacity_fps:
        return math.inf
    rising = sorted((fps / weight, fps, weight) for fps, weight in demands)
    left, weights = capacity_fps, sum(weight for _, _, weight in rising)
    for needed_level, fps, weight in rising:
        level = max(0.0, left) / weights
        if needed_level > level:
            return level
        left, weights = left - fps, weights - weight
    return math.inf  # by a rounding error
