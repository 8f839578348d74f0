"""The scheduler's state machine."""

import heapq
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.domain.capability import RuntimeLimits
from gateway.domain.frame import Frame
from gateway.scheduler.grants import Capacity, Grant, SubscriptionKey, share
from gateway.scheduler.window import GradientWindow


class DropCause(StrEnum):
    """Why a frame that was due never became detections."""

    REPLACED = "replaced"
    EXPIRED = "expired"
    NO_RUNTIME = "no_runtime"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    REJECTED = "rejected"
    NOT_DURABLE = "not_durable"


@dataclass(frozen=True, slots=True)
class Drop:
    """A frame that won't be inferred."""

    key: SubscriptionKey
    frame_index: int
    cause: DropCause


@dataclass(frozen=True, slots=True, eq=False)
class Dispatch:
    """A frame that is to be sent now.

    Attributes:
        key: Whose frame.
        frame: The frame.
        runtime_id: Where to.
        offered_s: When it was offered (monotonic seconds).
        deadline_s: When its answer is worth nothing any more (monotonic seconds).
    """

    key: SubscriptionKey
    frame: Frame
    runtime_id: str
    offered_s: float
    deadline_s: float


@dataclass(slots=True)
class _Subscription:
    wanted_fps: float
    grant: Grant
    frame: Frame | None = None
    offered_s: float = 0.0
    virtual_deadline_s: float = 0.0
    in_flight: Dispatch | None = None
    ticket: int = 0  # the heap entry that speaks for the slot; others are stale

    def advance_deadline(self, now_s: float) -> None:
        """One period further, within a period of now: neither idleness nor idle capacity used is remembered longer."""
        period_s = 1 / self.grant.granted_fps
        start_s = min(max(self.virtual_deadline_s, now_s - period_s), now_s + period_s)
        self.virtual_deadline_s = start_s + period_s


@dataclass(slots=True)
class _Runtime:
    limits: RuntimeLimits
    models: frozenset[str]
    ready: bool
    window: GradientWindow
    in_flight: set[Dispatch] = field(default_factory=set[Dispatch])
    theoretical_arrival_s: float = 0.0

    def serves(self, model: str) -> bool:
        return self.ready and model in self.models

    def rate_ready_s(self) -> float:
        """Earliest time at which one more frame keeps to `max_fps` (GCRA; one batch may go ahead of its time)."""
        return self.theoretical_arrival_s - self.limits.batch_size / self.limits.max_fps

    def has_room(self) -> bool:
        return len(self.in_flight) < self.window.size

    def load(self) -> float:
        return len(self.in_flight) / self.window.size

    def spend(self, dispatch: Dispatch, now_s: float) -> None:
        self.in_flight.add(dispatch)
        self.theoretical_arrival_s = max(self.theoretical_arrival_s, now_s) + 1 / self.limits.max_fps


@dataclass(slots=True)
class Scheduler:
    """One newest-frame slot per subscription, earliest virtual deadline first, within each runtime's limits.

    Nothing here waits or reads a clock: each call takes the monotonic time in seconds. A subscription has at most one
    frame on its way, so its answers come in order.
    """

    _subscriptions: dict[SubscriptionKey, _Subscription] = field(default_factory=dict[SubscriptionKey, _Subscription])
    _runtimes: dict[str, _Runtime] = field(default_factory=dict[str, _Runtime])
    _waiting: dict[str, list[tuple[float, int, SubscriptionKey]]] = field(
        default_factory=dict[str, list[tuple[float, int, SubscriptionKey]]]
    )
    _tickets: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _wake_s: float | None = None
    _grants_stale: bool = False

    # Runtimes

    def set_runtime(self, runtime_id: str, limits: RuntimeLimits, models: Collection[str], *, ready: bool) -> None:
        """Add a runtime, or change what it may take; frames on their way stay counted."""
        known = self._runtimes.get(runtime_id)
        if known is None:
            known = self._runtimes[runtime_id] = _Runtime(limits, frozenset(), ready, _window(limits))
        elif known.limits.batch_size != limits.batch_size:
            known.window = _window(limits)
        known.limits, known.models, known.ready = limits, frozenset(models), ready
        self._grants_stale = True

    def remove_runtime(self, runtime_id: str) -> None:
        """Forget a runtime; answers of frames on their way to it may still be completed."""
        self._runtimes.pop(runtime_id, None)
        self._grants_stale = True

    def load(self, runtime_id: str) -> tuple[int, int]:
        """Frames in flight to a runtime, and how many may be."""
        runtime = self._runtimes.get(runtime_id)
        return (len(runtime.in_flight), runtime.window.size) if runtime else (0, 0)

    # Subscriptions

    def subscribe(self, key: SubscriptionKey, wanted_fps: float) -> None:
        """Add a camera and model, or change the rate it wants."""
        known = self._subscriptions.get(key)
        if known is None:
            self._subscriptions[key] = _Subscription(wanted_fps, Grant(wanted_fps, 0.0))
        else:
            known.wanted_fps = wanted_fps
        self._grants_stale = True

    def unsubscribe(self, key: SubscriptionKey) -> list[Drop]:
        """Remove a camera and model; its waiting frame is dropped."""
        subscription = self._subscriptions.pop(key, None)
        self._grants_stale = True
        if subscription is None or subscription.frame is None:
            return []
        return [Drop(key, subscription.frame.index, DropCause.STOPPED)]

    def grant(self, key: SubscriptionKey) -> Grant:
        """What a subscription gets now; `KeyError` if it isn't subscribed."""
        self._regrant()
        return self._subscriptions[key].grant

    def queue_depth(self, key: SubscriptionKey) -> int:
        """Frames waiting in a subscription's slot: 0 or 1."""
        subscription = self._subscriptions.get(key)
        return int(subscription is not None and subscription.frame is not None)

    # The loop

    def offer(self, key: SubscriptionKey, frame: Frame, now_s: float) -> list[Drop]:
        """Put a frame into its slot; the frame that waited there is dropped."""
        subscription = self._subscriptions.get(key)
        if subscription is None:
            return [Drop(key, frame.index, DropCause.STOPPED)]
        self._regrant()
        if subscription.grant.granted_fps <= 0:
            return [Drop(key, frame.index, DropCause.NO_RUNTIME)]
        drops: list[Drop] = []
        if subscription.frame is not None:
            drops.append(Drop(key, subscription.frame.index, DropCause.REPLACED))
        else:
            subscription.advance_deadline(now_s)
        subscription.frame, subscription.offered_s = frame, now_s
        if subscription.in_flight is None and not drops:
            self._enqueue(key, subscription)
        return drops

    def next(self, now_s: float) -> tuple[Dispatch | None, list[Drop]]:
        """Choose the frame to send now, if any; and the frames that grew too old while they waited."""
        drops: list[Drop] = []
        self._wake_s = None
        while (chosen := self._choose(now_s)) is not None:
            model, runtime_id, runtime = chosen
            _, _, key = heapq.heappop(self._waiting[model])
            subscription = self._subscriptions[key]
            frame, offered_s = subscription.frame, subscription.offered_s
            assert frame is not None
            subscription.frame, subscription.ticket = None, 0
            deadline_s = offered_s + runtime.limits.timeout_s
            if deadline_s <= now_s:
                drops.append(Drop(key, frame.index, DropCause.EXPIRED))
                continue
            dispatch = subscription.in_flight = Dispatch(key, frame, runtime_id, offered_s, deadline_s)
            runtime.spend(dispatch, now_s)
            return dispatch, drops
        return None, drops

    @property
    def wake_s(self) -> float | None:
        """When `next` may have a frame although nothing else happens (a runtime's rate allows one); None: never."""
        return self._wake_s

    def complete(self, dispatch: Dispatch, latency_s: float | None) -> None:
        """A dispatched frame is back, with its latency in seconds, or failed (None).

        One that left before its runtime or its subscription was replaced says nothing about the new one.
        """
        runtime = self._runtimes.get(dispatch.runtime_id)
        if runtime is not None and dispatch in runtime.in_flight:
            if latency_s is not None:
                runtime.window.observe(latency_s, len(runtime.in_flight))
            runtime.in_flight.remove(dispatch)
        subscription = self._subscriptions.get(dispatch.key)
        if subscription is not None and subscription.in_flight is dispatch:
            subscription.in_flight = None
            if subscription.frame is not None:
                self._enqueue(dispatch.key, subscription)

    # Inside

    def _enqueue(self, key: SubscriptionKey, subscription: _Subscription) -> None:
        subscription.ticket = next(self._tickets)
        entry = (subscription.virtual_deadline_s, subscription.ticket, key)
        heapq.heappush(self._waiting.setdefault(key[1], []), entry)

    def _choose(self, now_s: float) -> tuple[str, str, _Runtime] | None:
        """The model whose most urgent frame comes first among those that a runtime can take now."""
        best: tuple[float, str, str, _Runtime] | None = None
        for model in list(self._waiting):
            head = self._head(model)
            if head is None:
                del self._waiting[model]
                continue
            found = self._runtime_with_room(model, now_s)
            if found is not None and (best is None or head[0] < best[0]):
                best = (head[0], model, *found)
        return best[1:] if best else None

    def _head(self, model: str) -> tuple[float, int, SubscriptionKey] | None:
        heap = self._waiting[model]
        while heap:
            subscription = self._subscriptions.get(heap[0][2])
            if subscription is not None and subscription.ticket == heap[0][1]:
                return heap[0]
            heapq.heappop(heap)
        return None

    def _runtime_with_room(self, model: str, now_s: float) -> tuple[str, _Runtime] | None:
        """The least loaded ready runtime that serves a model; notes when one that is only rate-limited will."""
        room: list[tuple[float, str]] = []
        for runtime_id, runtime in self._runtimes.items():
            if not runtime.serves(model) or not runtime.has_room():
                continue
            ready_s = runtime.rate_ready_s()
            if ready_s <= now_s:
                room.append((runtime.load(), runtime_id))
            elif self._wake_s is None or ready_s < self._wake_s:
                self._wake_s = ready_s
        if not room:
            return None
        runtime_id = min(room)[1]
        return runtime_id, self._runtimes[runtime_id]

    def _regrant(self) -> None:
        """Share the capacity again if something it depends on has changed; once, however many changes there were."""
        if not self._grants_stale:
            return
        self._grants_stale = False
        wanted = {key: subscription.wanted_fps for key, subscription in self._subscriptions.items()}
        ready = [
            Capacity(runtime.models, runtime.limits.max_fps, runtime.limits.max_camera_fps)
            for runtime in self._runtimes.values()
            if runtime.ready
        ]
        for key, grant in share(wanted, ready).items():
            self._subscriptions[key].grant = grant


def _window(limits: RuntimeLimits) -> GradientWindow:
    return GradientWindow(initial=limits.batch_size * 2, maximum=limits.batch_size * 8)
