"""Which runtime a camera sits on, and when it is better off on another."""

import math
from collections.abc import Collection, Iterable, Mapping

from gateway.scheduler.runtime import Runtime
from gateway.scheduler.slots import Subscription

GAIN = 1.1
"""A camera that goes short is moved for at least this factor of its grant."""

IMBALANCE = 0.2
"""A camera that doesn't is moved for a runtime less pressed by at least this part of its capacity."""

REMOTE = 0.3
"""A runtime that frames can't reach through shared memory counts as pressed by so much more."""

SUSTAINED_S = 3.0
"""A runtime is pressed for so long before cameras are moved off it."""

DWELL_S = 10.0
"""A camera that was placed stays for so long, unless its runtime is lost."""

MOVED_PER_S = 0.05
"""The part of all cameras that is moved in a second at most, but always one; cameras of a lost runtime don't count."""

LOOKS = 16
"""At so many runtimes is looked at once, in turn: what looking costs doesn't grow with the square of their number."""

AS_GOOD = 0.98
"""Runtimes that give at least this part of the best offer are chosen among by pressure."""


def choose(subscription: Subscription, runtimes: Iterable[Runtime]) -> Runtime | None:
    """Where a camera gets most; among runtimes about as good the least pressed, those on this host first.

    Args:
        subscription: The camera, placed nowhere.
        runtimes: Those that serve its model.

    Returns:
        None where every runtime has the cameras that it declared to take.
    """
    offers = [(runtime.expected_fps(subscription), runtime) for runtime in runtimes if not runtime.full]
    if not offers:
        return None
    enough_fps = AS_GOOD * max(fps for fps, _ in offers)
    return min(
        (runtime for fps, runtime in offers if fps >= enough_fps),
        key=lambda runtime: (distance(runtime) + runtime.part(subscription), runtime.runtime_id),
    )


def distance(runtime: Runtime) -> float:
    """How little a camera is drawn to a runtime: how pressed it is, and whether it is on another host."""
    return runtime.pressure + (0.0 if runtime.local else REMOTE)


class Balancer:
    """Moves cameras that would be better off on another runtime: few at a time, and none to and fro.

    A move lifts the lower of the two runtimes' levels (`water_level`), or evens out their pressure and lowers no level,
    so moving comes to an end. Where it has, no camera would get `GAIN` times what it has by being moved alone.
    """

    def __init__(self) -> None:
        self._credit = 0.0
        self._credited_s = -math.inf

    def moves(
        self, runtimes: Collection[Runtime], serving: Mapping[str, Collection[Runtime]], cameras: int, now_s: float
    ) -> Iterable[tuple[Subscription, Runtime]]:
        """Moves worth making now, each to be made before the next one is asked for.

        Args:
            runtimes: All runtimes.
            serving: Those that serve a model, by its name.
            cameras: How many subscriptions there are.
            now_s: Monotonic seconds.
        """
        self._earn(max(1.0, cameras * MOVED_PER_S), now_s)
        for runtime in _pressed(runtimes, now_s)[:LOOKS]:
            runtime.looked_at_s = now_s
            while self._credit >= 1 and (move := _worthwhile(runtime, serving, now_s)) is not None:
                self._credit -= 1
                yield move

    def _earn(self, per_s: float, now_s: float) -> None:
        self._credit = min(per_s, self._credit + per_s * max(0.0, now_s - self._credited_s))
        self._credited_s = now_s


def _pressed(runtimes: Collection[Runtime], now_s: float) -> list[Runtime]:
    """Those that have been pressed for long enough: whom nobody looked at for longest first, then the most pressed."""
    nearest = min((distance(runtime) for runtime in runtimes if runtime.accepting), default=0.0)
    pressed: list[Runtime] = []
    for runtime in runtimes:
        if not (runtime.goes_short or distance(runtime) >= nearest + IMBALANCE):
            runtime.pressed_since_s = None
        elif runtime.pressed_since_s is None:
            runtime.pressed_since_s = now_s
        elif now_s - runtime.pressed_since_s >= SUSTAINED_S:
            pressed.append(runtime)
    return sorted(pressed, key=lambda runtime: (runtime.looked_at_s, -distance(runtime)))


def _worthwhile(
    runtime: Runtime, serving: Mapping[str, Collection[Runtime]], now_s: float
) -> tuple[Subscription, Runtime] | None:
    """A move off a runtime; of each model the camera is looked at that wasn't for longest."""
    for subscription in runtime.longest_unseen():
        if now_s - subscription.placed_s < DWELL_S or not subscription.wanted_fps:
            continue
        others = [other for other in serving.get(subscription.model, ()) if other is not runtime]
        target = choose(subscription, others)
        if target is not None and _is_better(subscription, runtime, target):
            return subscription, target
    return None


def _is_better(subscription: Subscription, runtime: Runtime, target: Runtime) -> bool:
    expected_fps, granted_fps = target.expected_fps(subscription), subscription.grant.granted_fps
    if granted_fps < subscription.wanted_fps and expected_fps >= GAIN * granted_fps:
        return True
    nearer = distance(target) + target.part(subscription) <= distance(runtime) - IMBALANCE
    return nearer and expected_fps >= granted_fps and target.pressure + target.part(subscription) <= 1
