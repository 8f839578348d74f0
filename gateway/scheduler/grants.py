"""What each camera gets of what it wants."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """Frames per second that one subscription wants, and the cap that its runtimes put on one camera."""

    wanted_fps: float
    cap_fps: float


@dataclass(frozen=True, slots=True)
class Grant:
    """Frames per second that one subscription gets, and why it isn't what was wanted (empty when it is)."""

    wanted_fps: float
    granted_fps: float
    reason: str = ""


def water_fill(demands: Mapping[tuple[str, str], Demand], capacity_fps: float) -> dict[tuple[str, str], Grant]:
    """Share a capacity max-min fairly: nobody gets more than wanted, and the rest is split evenly.

    Progressive filling: serve demands from the smallest up, each getting at most an even share of what is left.
    """
    limits = {key: min(demand.wanted_fps, demand.cap_fps) for key, demand in demands.items()}
    grants: dict[tuple[str, str], Grant] = {}
    left, waiting = capacity_fps, sum(1 for limit in limits.values() if limit > 0)
    for key in sorted(limits, key=lambda k: (limits[k], k)):
        demand, limit = demands[key], limits[key]
        if demand.cap_fps <= 0:
            grants[key] = Grant(demand.wanted_fps, 0.0, "no runtime serves this model now")
            continue
        granted = min(limit, left / waiting)
        left, waiting = left - granted, waiting - 1
        grants[key] = Grant(demand.wanted_fps, granted, _reason(demand, granted))
    return grants


def _reason(demand: Demand, granted: float) -> str:
    if granted >= demand.wanted_fps:
        return ""
    if granted >= demand.cap_fps:
        return f"the runtimes take at most {demand.cap_fps:g} fps of one camera"
    return "the runtimes' declared frames/s are shared among the cameras"
