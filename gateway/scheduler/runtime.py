"""One runtime: what it may take, which cameras sit on it, and which of their frames goes next."""

import heapq
import math
from collections.abc import Collection, Iterator, Mapping

from gateway.domain.capability import RuntimeLimits
from gateway.scheduler.grants import Grant, water_level
from gateway.scheduler.slots import Dispatch, Subscription, SubscriptionKey
from gateway.scheduler.window import LatencyWindow


class Runtime:
    """The cameras placed on one runtime, their shares of it, and its queue.

    Attributes:
        runtime_id: As declared.
        limits: What it may be asked for.
        models: What it serves.
        accepting: Whether frames may go to it.
        local: Whether frames reach it through shared memory.
        members: The subscriptions placed on it, by key.
        granted_fps: What they get in all.
        goes_short: Whether one of them gets less than it wants.
        window: How many frames may be on their way to it.
        in_flight: Those that are.
        looked_at_s: When a better place was last looked for, for one of them (monotonic seconds).
        pressed_since_s: Since when its cameras may be better off elsewhere (monotonic seconds); None while not.
        wake_s: When its rate allows the next frame, where that is what is waited for.
    """

    def __init__(self, runtime_id: str, limits: RuntimeLimits) -> None:
        self.runtime_id = runtime_id
        self.limits = limits
        self.models: frozenset[str] = frozenset()
        self.accepting = False
        self.local = False
        self.members: dict[SubscriptionKey, Subscription] = {}
        self.granted_fps = 0.0
        self.goes_short = False
        self.window = _window(limits)
        self.in_flight: set[Dispatch] = set()
        self.looked_at_s = -math.inf
        self.pressed_since_s: float | None = None
        self.wake_s: float | None = None
        self._speed_fps: dict[str, float] = {}
        self._by_model: dict[str, dict[SubscriptionKey, Subscription]] = {}
        self._queue: list[tuple[float, int, Subscription]] = []
        self._arrival_s = 0.0
        self._demand_fps = 0.0
        self._busy = 0.0
        self._weight = 0
        self._top_level = 0.0
        self._top_weight = 0

    def change(
        self,
        limits: RuntimeLimits,
        models: Collection[str],
        *,
        accepting: bool,
        local: bool,
        measured_fps: Mapping[str, float],
    ) -> None:
        """Take a new declaration; frames on their way stay counted."""
        if self.limits.batch_size != limits.batch_size:
            self.window = _window(limits)
        self.limits, self.models = limits, frozenset(models)
        self._speed_fps = {model: min(limits.max_fps, fps) for model, fps in measured_fps.items()}
        self.accepting, self.local = accepting, local
        if not accepting:
            self._queue.clear()

    def serves(self, model: str) -> bool:
        """Whether frames of a model may go to it."""
        return self.accepting and model in self.models

    # Shares

    @property
    def full(self) -> bool:
        """Whether it has as many cameras as it declared to take."""
        return self.limits.max_streams is not None and len(self.members) >= self.limits.max_streams

    @property
    def pressure(self) -> float:
        """What its cameras ask for as a part of what it can do; above 1 somebody goes short."""
        return self._busy

    def cap_fps(self, subscription: Subscription) -> float:
        """What a camera gets here at most, were it alone."""
        return min(subscription.wanted_fps, self.limits.max_camera_fps)

    def part(self, subscription: Subscription) -> float:
        """What a camera asks for as a part of what this runtime can do, by declaration and measurement."""
        return self.cap_fps(subscription) / self._speed_fps.get(subscription.model, self.limits.max_fps)

    def expected_fps(self, subscription: Subscription) -> float:
        """About what a camera that wants something would get here, were it to join; rather less than more.

        What was measured of the models in use counts here, unlike in what is granted: a measurement is short, and taken
        on a machine that may be busy; it is good for comparing runtimes, not for holding cameras down.
        """
        cap_fps = self.cap_fps(subscription)
        real_fps = (self._demand_fps + cap_fps) / (self._busy + self.part(subscription))
        if self._demand_fps + cap_fps <= real_fps:
            return cap_fps
        return min(cap_fps, subscription.weight * self._level_with(subscription.weight, real_fps))

    def _level_with(self, weight: int, capacity_fps: float) -> float:
        """At least the level with one more camera.

        It may have what is free, or an equal part of all, or share what is free and what those have who have most.
        """
        free_fps = max(0.0, capacity_fps - self._demand_fps)
        top_fps = self._top_level * self._top_weight * capacity_fps / self.limits.max_fps
        return max(
            free_fps / weight,
            capacity_fps / (self._weight + weight),
            (top_fps + free_fps) / (self._top_weight + weight),
        )

    def join(self, subscription: Subscription, now_s: float) -> None:
        """Place a camera here; its part and the others' are known after `share`."""
        cap_fps, weight = self.cap_fps(subscription), subscription.weight
        level = min(cap_fps / weight, self._level_with(weight, self.limits.max_fps))
        subscription.runtime_id, subscription.placed_s = self.runtime_id, now_s
        self.members[subscription.key] = subscription
        self._by_model.setdefault(subscription.model, {})[subscription.key] = subscription
        self._demand_fps += cap_fps
        self._busy += self.part(subscription)
        self._weight += weight
        if self._demand_fps > self.limits.max_fps or level == self._top_level:
            self._top_level, self._top_weight = level, self._top_weight + weight
        elif level > self._top_level:
            self._top_level, self._top_weight = level, weight

    def leave(self, subscription: Subscription) -> None:
        """Take a camera away; its frame that waits is still in its slot."""
        del self.members[subscription.key], self._by_model[subscription.model][subscription.key]
        subscription.runtime_id, subscription.ticket = None, 0
        self._demand_fps -= self.cap_fps(subscription)
        self._busy -= self.part(subscription)
        self._weight -= subscription.weight

    def misplaced(self) -> list[Subscription]:
        """Cameras that it can't take any more: all of a model, or those that came last where there are too many."""
        stay = [member for member in self.members.values() if self.serves(member.model)]
        gone = [member for member in self.members.values() if not self.serves(member.model)]
        return gone if self.limits.max_streams is None else gone + stay[self.limits.max_streams :]

    def share(self) -> Iterator[Subscription]:
        """Share its frames/s among its cameras; those whose grant has changed."""
        caps = [(self.cap_fps(member), member.weight) for member in self.members.values()]
        self._demand_fps = sum(fps for fps, _ in caps)
        self._busy = sum(self.part(member) for member in self.members.values())
        self._weight = sum(weight for _, weight in caps)
        level = water_level(caps, self.limits.max_fps)
        self._top_level = min(level, max((fps / weight for fps, weight in caps), default=0.0))
        self._top_weight = sum(weight for fps, weight in caps if fps / weight >= self._top_level)
        self.goes_short = False
        self.granted_fps = sum(min(fps, weight * level) for fps, weight in caps)
        for member, (cap_fps, weight) in zip(self.members.values(), caps, strict=True):
            granted_fps = min(cap_fps, weight * level)
            reason = self._reason(cap_fps, granted_fps) if granted_fps < member.wanted_fps else ""
            self.goes_short = self.goes_short or bool(reason)
            grant = Grant(member.wanted_fps, granted_fps, reason, self.runtime_id)
            if grant != member.grant:
                member.grant = grant
                yield member

    def longest_unseen(self) -> Iterator[Subscription]:
        """Of each model the camera that this gave longest ago."""
        for members in self._by_model.values():
            if members:
                key = next(iter(members))
                members[key] = member = members.pop(key)
                yield member

    def _reason(self, cap_fps: float, granted_fps: float) -> str:
        if granted_fps < cap_fps:
            return f"the {self.limits.max_fps:g} fps of runtime {self.runtime_id} are shared among its cameras"
        return f"runtime {self.runtime_id} takes at most {self.limits.max_camera_fps:g} fps of one camera"

    # The queue

    def enqueue(self, subscription: Subscription, ticket: int) -> None:
        """Let a camera's waiting frame be considered."""
        subscription.ticket = ticket
        heapq.heappush(self._queue, (subscription.deadline_s, ticket, subscription))

    def most_urgent(self) -> Subscription | None:
        """Whose frame comes next."""
        queue = self._queue
        while queue:
            _, ticket, subscription = queue[0]
            if subscription.ticket == ticket:
                return subscription
            heapq.heappop(queue)
        return None

    def take(self) -> None:
        """Take the most urgent one off the queue."""
        heapq.heappop(self._queue)[2].ticket = 0

    # Limits

    def has_room(self) -> bool:
        """Whether the window lets one more frame on its way."""
        return len(self.in_flight) < self.window.size

    def rate_ready_s(self) -> float:
        """Earliest time at which one more frame keeps to `sent_fps` (GCRA; one batch may go ahead of its time)."""
        return self._arrival_s - self.limits.batch_size / self.limits.sent_fps

    def spend(self, dispatch: Dispatch, now_s: float) -> None:
        """A frame goes out."""
        self.in_flight.add(dispatch)
        self._arrival_s = max(self._arrival_s, now_s) + 1 / self.limits.sent_fps

    def answered(self, dispatch: Dispatch, latency_s: float | None) -> bool:
        """A frame is back, or failed (None); False if it left before this runtime was what it is."""
        if dispatch not in self.in_flight:
            return False
        if latency_s is not None:
            self.window.observe(dispatch.key[1], latency_s, len(self.in_flight))
        self.in_flight.remove(dispatch)
        return True


def _window(limits: RuntimeLimits) -> LatencyWindow:
    return LatencyWindow(limits.least_in_flight, limits.most_in_flight)
