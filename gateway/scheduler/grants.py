"""What each camera gets of what it wants."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SubscriptionKey = tuple[str, str]
"""Camera id and model name."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a ready runtime can do: frames/s in all and for one camera, of these models."""

    models: frozenset[str]
    max_fps: float
    max_camera_fps: float


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


def share(wanted_fps: Mapping[SubscriptionKey, float], runtimes: Iterable[Capacity]) -> dict[SubscriptionKey, Grant]:
    """Grant each subscription its part of the runtimes that serve its model.

    Runtimes that have a wanted model in common form one pool, whose frames/s are shared max-min fairly. A pool whose
    runtimes serve different models is taken as a whole: what one of its models alone can get may be less.
    """
    wanted_models = frozenset(model for _, model in wanted_fps)
    caps = dict.fromkeys(wanted_models, 0.0)
    pools: list[tuple[frozenset[str], float]] = []
    for runtime in runtimes:
        served, capacity_fps = runtime.models & wanted_models, runtime.max_fps
        caps |= {model: max(caps[model], runtime.max_camera_fps) for model in served}
        for pool in [pool for pool in pools if pool[0] & served]:
            pools.remove(pool)
            served, capacity_fps = served | pool[0], capacity_fps + pool[1]
        pools.append((served, capacity_fps))
    pools.append((wanted_models.difference(*(models for models, _ in pools)), 0.0))
    by_model: dict[str, dict[SubscriptionKey, Demand]] = {model: {} for model in wanted_models}
    for key, fps in wanted_fps.items():
        by_model[key[1]][key] = Demand(fps, caps[key[1]])
    grants: dict[SubscriptionKey, Grant] = {}
    for models, capacity_fps in pools:
        demands = {key: demand for model in models for key, demand in by_model[model].items()}
        grants |= water_fill(demands, capacity_fps)
    return grants


def water_fill(demands: Mapping[SubscriptionKey, Demand], capacity_fps: float) -> dict[SubscriptionKey, Grant]:
    """Share a capacity max-min fairly: nobody gets more than wanted, and the rest is split evenly.

    Progressive filling: serve demands from the smallest up, each getting at most an even share of what is left.
    """
    limits = {key: min(demand.wanted_fps, demand.cap_fps) for key, demand in demands.items()}
    grants: dict[SubscriptionKey, Grant] = {}
    left, waiting = capacity_fps, len(limits)
    for key in sorted(limits, key=lambda k: (limits[k], k)):
        granted = min(limits[key], left / waiting)
        left, waiting = left - granted, waiting - 1
        grants[key] = Grant(demands[key].wanted_fps, granted, _reason(demands[key], granted))
    return grants


def _reason(demand: Demand, granted: float) -> str:
    if granted >= demand.wanted_fps:
        return ""
    if demand.cap_fps <= 0:
        return "no runtime serves this model now"
    if granted >= demand.cap_fps:
        return f"the runtimes take at most {demand.cap_fps:g} fps of one camera"
    return "the runtimes' declared frames/s are shared among the cameras"
