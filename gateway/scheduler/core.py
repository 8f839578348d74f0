"""The scheduler's state machine."""

import heapq
import itertools
from collections.abc import Collection, Iterable, Mapping

import msgspec

from gateway.domain.capability import RuntimeLimits
from gateway.domain.frame import Frame
from gateway.scheduler.grants import Grant
from gateway.scheduler.placement import Balancer, choose
from gateway.scheduler.runtime import Runtime
from gateway.scheduler.slots import Dispatch, Drop, DropCause, Subscription, SubscriptionKey

BALANCE_S = 0.5
"""How often it is asked whether a camera would be better off elsewhere."""

NO_RUNTIME = "no runtime serves this model now"
ALL_FULL = "every runtime that serves this model has as many cameras as it declared to take"


class Settlement(msgspec.Struct, frozen=True):
    """What `Scheduler.settle` has decided.

    Attributes:
        granted: Who gets something else than when last told, and what.
        drops: Frames that waited and that no runtime takes any more.
    """

    granted: list[tuple[SubscriptionKey, Grant]]
    drops: list[Drop]


class Scheduler:
    """Places cameras on runtimes, shares the runtimes' frames/s, and chooses the frame that goes next.

    One newest-frame slot per subscription, earliest virtual deadline first, within each runtime's limits. Nothing here
    waits or reads a clock: calls that need it take the monotonic time in seconds. A subscription has at most one frame
    on its way, so its answers come in order. Changes are acted upon together, by `settle`.
    """

    def __init__(self) -> None:
        self._subscriptions: dict[SubscriptionKey, Subscription] = {}
        self._runtimes: dict[str, Runtime] = {}
        self._serving: dict[str, list[Runtime]] = {}
        self._unplaced: dict[str, dict[SubscriptionKey, Subscription]] = {}
        self._ended: dict[SubscriptionKey, Subscription] = {}
        self._to_place: dict[str, None] = {}
        self._to_share: dict[str, Runtime] = {}
        self._granted: dict[SubscriptionKey, Subscription] = {}
        self._drops: list[Drop] = []
        self._balancer = Balancer()
        self._balanced_s = -BALANCE_S
        self._sendable: dict[str, Runtime] = {}
        self._rate_limited: list[tuple[float, str]] = []
        self._tickets = itertools.count(1)

    # Runtimes

    def set_runtime(
        self,
        runtime_id: str,
        limits: RuntimeLimits,
        models: Collection[str],
        *,
        ready: bool,
        local: bool = False,
        measured_fps: Mapping[str, float] | None = None,
    ) -> None:
        """Add a runtime, or change what it may take; frames on their way stay counted.

        Args:
            runtime_id: As declared.
            limits: What it may be asked for.
            models: What it serves.
            ready: Whether frames may go to it; its cameras move at once when they may not (it is lost, or drained).
            local: Whether frames reach it through shared memory.
            measured_fps: What it was measured to do of a model, above 0; a model may be missing.
        """
        runtime = self._runtimes.get(runtime_id)
        if runtime is None:
            runtime = self._runtimes[runtime_id] = Runtime(runtime_id, limits)
        before = runtime.models if runtime.accepting else frozenset[str]()
        runtime.change(limits, models, accepting=ready, local=local, measured_fps=measured_fps or {})
        self._reconsider(runtime, before | runtime.models)
        self._sendable[runtime_id] = runtime

    def remove_runtime(self, runtime_id: str) -> None:
        """Forget a runtime; its cameras move, and answers of frames on their way to it may still be completed."""
        runtime = self._runtimes.pop(runtime_id, None)
        if runtime is not None:
            runtime.accepting = False
            self._reconsider(runtime, runtime.models)
            self._to_share.pop(runtime_id, None)
            self._sendable.pop(runtime_id, None)

    def load(self, runtime_id: str) -> tuple[int, int]:
        """Frames in flight to a runtime, and how many may be."""
        runtime = self._runtimes.get(runtime_id)
        return (len(runtime.in_flight), runtime.window.size) if runtime else (0, 0)

    def granted_fps(self, runtime_id: str) -> float:
        """What the cameras of a runtime got in all when settled last."""
        runtime = self._runtimes.get(runtime_id)
        return runtime.granted_fps if runtime else 0.0

    @property
    def saturated(self) -> bool:
        """Whether no runtime can take a frame before one answers, and there is one that will."""
        runtimes = self._runtimes.values()
        return any(each.in_flight for each in runtimes) and not any(
            each.accepting and each.has_room() for each in runtimes
        )

    # Subscriptions

    def subscribe(self, key: SubscriptionKey, wanted_fps: float, weight: int = 1) -> None:
        """Add a camera and model, or change what it wants; its last frame is still sent when it wants no more (0)."""
        subscription = self._subscriptions.get(key)
        if subscription is None:
            subscription = self._subscriptions[key] = Subscription(key, wanted_fps, weight)
        subscription.wanted_fps, subscription.weight = wanted_fps, weight
        if wanted_fps <= 0:
            self._ended[key] = subscription
        else:
            self._ended.pop(key, None)
        if subscription.runtime_id is not None:
            runtime = self._runtimes[subscription.runtime_id]
            self._to_share[runtime.runtime_id] = runtime
        elif wanted_fps > 0:
            self._unplaced.setdefault(subscription.model, {})[key] = subscription
            self._to_place[subscription.model] = None

    def unsubscribe(self, key: SubscriptionKey) -> list[Drop]:
        """Remove a camera and model; its waiting frame is dropped, and what `settle` would tell of it is told now."""
        subscription = self._subscriptions.pop(key, None)
        if subscription is None:
            return []
        self._leave(subscription)
        self._ended.pop(key, None)
        self._granted.pop(key, None)
        drops = [drop for drop in self._drops if drop.key == key]
        if drops:
            self._drops = [drop for drop in self._drops if drop.key != key]
        if subscription.frame is not None:
            drops.append(Drop(key, subscription.frame.index, DropCause.STOPPED))
        return drops

    def grant(self, key: SubscriptionKey) -> Grant:
        """What a subscription got when it was settled last; `KeyError` if it isn't subscribed."""
        return self._subscriptions[key].grant

    def queue_depth(self, key: SubscriptionKey) -> int:
        """Frames waiting in a subscription's slot: 0 or 1."""
        subscription = self._subscriptions.get(key)
        return int(subscription is not None and subscription.frame is not None)

    @property
    def unsettled(self) -> bool:
        """Whether something has changed that `settle` is to act upon."""
        return bool(self._to_place or self._to_share or self._ended or self._granted or self._drops)

    def settle(self, now_s: float) -> Settlement:
        """Place who has no runtime, move who is better off elsewhere, and share each changed runtime once.

        To be called soon after a change, and about every `BALANCE_S` even when nothing changes.
        """
        self._place(now_s)
        self._balance(now_s)
        self._share()
        granted = [(key, subscription.grant) for key, subscription in self._granted.items()]
        drops, self._drops = self._drops, []
        self._granted.clear()
        return Settlement(granted, drops)

    # The loop

    def offer(self, key: SubscriptionKey, frame: Frame, now_s: float) -> list[Drop]:
        """Put a frame into its slot; the frame that waited there is dropped."""
        subscription = self._subscriptions.get(key)
        if subscription is None:
            return [Drop(key, frame.index, DropCause.STOPPED)]
        if subscription.runtime_id is None or subscription.grant.granted_fps <= 0:
            self._place(now_s)
            self._share()
            if subscription.runtime_id is None or subscription.grant.granted_fps <= 0:
                return [Drop(key, frame.index, DropCause.NO_RUNTIME)]
        waited = subscription.frame
        subscription.frame, subscription.offered_s = frame, now_s
        if waited is not None:
            return [Drop(key, waited.index, DropCause.REPLACED)]
        subscription.advance_deadline(now_s)
        if subscription.in_flight is None:
            self._enqueue(subscription)
        return []

    def next(self, now_s: float) -> tuple[Dispatch | None, list[Drop]]:
        """Choose the frame to send now, if any; and the frames that grew too old while they waited."""
        drops: list[Drop] = []
        self._wake(now_s)
        while self._sendable:
            runtime_id, runtime = next(iter(self._sendable.items()))
            subscription = runtime.most_urgent() if runtime.has_room() else None
            if subscription is None:
                del self._sendable[runtime_id]
                continue
            ready_s = runtime.rate_ready_s()
            if ready_s > now_s:
                del self._sendable[runtime_id]
                runtime.wake_s = ready_s
                heapq.heappush(self._rate_limited, (ready_s, runtime_id))
                continue
            runtime.take()
            frame, subscription.frame = subscription.frame, None
            assert frame is not None
            if subscription.waited_too_long(runtime.limits.timeout_s, now_s):
                drops.append(Drop(subscription.key, frame.index, DropCause.EXPIRED))
                continue
            deadline_s = now_s + runtime.limits.timeout_s
            dispatch = Dispatch(subscription.key, frame, runtime_id, subscription.offered_s, deadline_s)
            subscription.in_flight = dispatch
            runtime.spend(dispatch, now_s)
            return dispatch, drops
        return None, drops

    @property
    def wake_s(self) -> float | None:
        """When `next` may have a frame although nothing else happens (a runtime's rate allows one); None: never."""
        return self._rate_limited[0][0] if self._rate_limited else None

    def complete(self, dispatch: Dispatch, latency_s: float | None) -> None:
        """A dispatched frame is back, with its latency in seconds, or failed (None).

        One that left before its runtime or its subscription was replaced says nothing about the new one.
        """
        runtime = self._runtimes.get(dispatch.runtime_id)
        if runtime is not None and runtime.answered(dispatch, latency_s):
            self._may_send(runtime)
        subscription = self._subscriptions.get(dispatch.key)
        if subscription is not None and subscription.in_flight is dispatch:
            subscription.in_flight = None
            if subscription.frame is not None:
                self._enqueue(subscription)

    def redirect(self, dispatch: Dispatch, now_s: float) -> Dispatch | None:
        """Send a frame that its runtime has lost to another one, to be followed by `complete` of the lost dispatch.

        Returns:
            The new dispatch; None where a newer frame waits, its time is over, or no other runtime has room now.
        """
        subscription = self._subscriptions.get(dispatch.key)
        if subscription is None or subscription.in_flight is not dispatch or subscription.frame is not None:
            return None
        for runtime in self._serving.get(subscription.model, ()):
            deadline_s = dispatch.offered_s + runtime.limits.timeout_s
            free = runtime.has_room() and runtime.rate_ready_s() <= now_s < deadline_s
            if free and runtime.accepting and runtime.runtime_id != dispatch.runtime_id:
                again = Dispatch(dispatch.key, dispatch.frame, runtime.runtime_id, dispatch.offered_s, deadline_s)
                subscription.in_flight = again
                runtime.spend(again, now_s)
                return again
        return None

    # Inside: the queue

    def _enqueue(self, subscription: Subscription) -> None:
        """Queue a camera's waiting frame at its runtime; without one it waits for `settle`."""
        if subscription.runtime_id is not None:
            runtime = self._runtimes[subscription.runtime_id]
            runtime.enqueue(subscription, next(self._tickets))
            self._may_send(runtime)

    def _may_send(self, runtime: Runtime) -> None:
        if runtime.wake_s is None:
            self._sendable[runtime.runtime_id] = runtime

    def _wake(self, now_s: float) -> None:
        while self._rate_limited and self._rate_limited[0][0] <= now_s:
            runtime = self._runtimes.get(heapq.heappop(self._rate_limited)[1])
            if runtime is not None:
                runtime.wake_s = None
                self._sendable[runtime.runtime_id] = runtime

    # Inside: who sits where

    def _reconsider(self, runtime: Runtime, models: Iterable[str]) -> None:
        """A runtime has changed: let go of cameras that can't stay, and have those placed that it might take."""
        for subscription in runtime.misplaced():
            runtime.leave(subscription)
            self._unplaced.setdefault(subscription.model, {})[subscription.key] = subscription
        for model in sorted(models):
            self._serving[model] = [each for each in self._runtimes.values() if each.serves(model)]
            self._to_place[model] = None
        self._to_share[runtime.runtime_id] = runtime

    def _leave(self, subscription: Subscription) -> None:
        if subscription.runtime_id is None:
            self._unplaced.get(subscription.model, {}).pop(subscription.key, None)
            return
        runtime = self._runtimes[subscription.runtime_id]
        if runtime.full:
            self._to_place.update(dict.fromkeys(sorted(runtime.models)))
        runtime.leave(subscription)
        self._to_share[runtime.runtime_id] = runtime

    def _join(self, subscription: Subscription, runtime: Runtime, now_s: float) -> None:
        runtime.join(subscription, now_s)
        self._to_share[runtime.runtime_id] = runtime
        if subscription.frame is not None and subscription.in_flight is None:
            self._enqueue(subscription)

    def _place(self, now_s: float) -> None:
        """Place who waits for it, by weight; whose last frame has gone gives its place up."""
        for subscription in [each for each in self._ended.values() if each.frame is None]:
            self._leave(subscription)
            self._regrant(subscription, Grant(0.0, 0.0))
            del self._ended[subscription.key]
        models, self._to_place = self._to_place, {}
        for model in models:
            waiting, serving = self._unplaced.get(model, {}), self._serving.get(model, ())
            refusal = "" if serving else NO_RUNTIME
            for subscription in sorted(waiting.values(), key=lambda each: -each.weight):
                target = None if refusal else choose(subscription, serving)
                if target is None:
                    refusal = refusal or ALL_FULL
                    self._refuse(subscription, refusal)
                else:
                    del waiting[subscription.key]
                    self._join(subscription, target, now_s)

    def _refuse(self, subscription: Subscription, reason: str) -> None:
        self._regrant(subscription, Grant(subscription.wanted_fps, 0.0, reason))
        if subscription.frame is not None:
            self._drops.append(Drop(subscription.key, subscription.frame.index, DropCause.NO_RUNTIME))
            subscription.frame = None

    def _regrant(self, subscription: Subscription, grant: Grant) -> None:
        if subscription.grant != grant:
            subscription.grant = grant
            self._granted[subscription.key] = subscription

    def _balance(self, now_s: float) -> None:
        if now_s - self._balanced_s < BALANCE_S:
            return
        self._balanced_s = now_s
        moves = self._balancer.moves(self._runtimes.values(), self._serving, len(self._subscriptions), now_s)
        for subscription, target in moves:
            self._leave(subscription)
            self._join(subscription, target, now_s)

    def _share(self) -> None:
        """Share each runtime that has changed again; once, however many changes there were."""
        for runtime in self._to_share.values():
            for subscription in runtime.share():
                self._granted[subscription.key] = subscription
        self._to_share.clear()
