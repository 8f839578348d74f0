"""The scheduler under any order of events: what it promises holds after each of them."""

from collections import Counter
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.domain.capability import RuntimeLimits
from gateway.scheduler import Dispatch, Drop, DropCause, Grant, Scheduler
from tests.support.pictures import a_frame

MODELS = ("people", "cars")
KEYS = [(f"camera-{i}", MODELS[i % 2]) for i in range(5)]
RUNTIMES = ("triton-1", "triton-2")
A_FRAME = a_frame(resolution_wh=(2, 2))
Limits = st.builds(
    RuntimeLimits,
    max_fps=st.sampled_from([1.0, 10.0, 300.0]),
    max_camera_fps=st.sampled_from([1.0, 5.0, 300.0]),
    batch_size=st.integers(1, 4),
    timeout_s=st.sampled_from([0.1, 2.0]),
    max_streams=st.sampled_from([None, 1, 3]),
)


class SchedulerMachine(RuleBasedStateMachine):
    """Any events at any times; the books are kept here, by frame number."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.now_s = 1000.0
        self.numbers = 0
        self.subscribed: set[tuple[str, str]] = set()
        self.limits: dict[str, RuntimeLimits] = {}
        self.ready: dict[str, frozenset[str]] = {}
        self.flying: list[Dispatch] = []
        self.offered: dict[int, float] = {}
        self.ended: dict[int, str] = {}
        self.told: dict[tuple[str, str], Grant] = {}

    # Events

    @rule(key=st.sampled_from(KEYS), fps=st.sampled_from([0.0, 0.1, 1.0, 30.0]), weight=st.sampled_from([1, 5, 10]))
    def subscribe(self, key, fps, weight):
        self.scheduler.subscribe(key, fps, weight)
        self.subscribed.add(key)

    @rule(key=st.sampled_from(KEYS))
    def unsubscribe(self, key):
        self.take_drops(self.scheduler.unsubscribe(key), DropCause.STOPPED, DropCause.NO_RUNTIME)
        self.subscribed.discard(key)
        self.told.pop(key, None)

    @rule(name=st.sampled_from(RUNTIMES), limits=Limits, models=st.sets(st.sampled_from(MODELS)), ready=st.booleans())
    def set_runtime(self, name, limits, models, ready):
        self.scheduler.set_runtime(name, limits, models, ready=ready)
        self.limits[name], self.ready[name] = limits, frozenset(models) if ready else frozenset()

    @rule(name=st.sampled_from(RUNTIMES))
    def lose_runtime(self, name):
        self.scheduler.remove_runtime(name)
        self.limits.pop(name, None)
        self.ready.pop(name, None)

    @rule(step_s=st.sampled_from([0.0, 0.001, 0.05, 1.0, 10.0]), data=st.data())
    def offer(self, step_s, data):
        self.now_s += step_s
        key = data.draw(st.sampled_from(KEYS))
        self.numbers += 1
        self.offered[self.numbers] = self.now_s
        frame = a_frame(self.numbers, resolution_wh=(2, 2))
        drops = self.scheduler.offer(key, frame, self.now_s)
        expected = {DropCause.REPLACED} if key in self.subscribed else {DropCause.STOPPED}
        if key in self.subscribed and self.scheduler.grant(key).granted_fps == 0:
            expected = {DropCause.NO_RUNTIME}
        self.take_drops(drops, *expected)

    @rule(step_s=st.sampled_from([0.0, 0.5, 20.0]))
    def settle(self, step_s):
        self.now_s += step_s
        settlement = self.scheduler.settle(self.now_s)
        self.take_drops(settlement.drops, DropCause.NO_RUNTIME)
        self.told |= settlement.granted
        assert self.told == {key: self.scheduler.grant(key) for key in self.subscribed}
        assert not self.scheduler.unsettled or self.scheduler.settle(self.now_s).granted == []
        for name, limits in self.limits.items():
            there = [grant for grant in self.told.values() if grant.runtime_id == name]
            assert len(there) <= (limits.max_streams or len(there))
            assert sum(grant.granted_fps for grant in there) <= limits.max_fps * 1.000001
            assert all(grant.granted_fps <= min(grant.wanted_fps, limits.max_camera_fps) for grant in there)
        for (_, model), grant in self.told.items():
            serving = [name for name, models in self.ready.items() if model in models]
            assert grant.runtime_id is None or grant.runtime_id in serving
            if grant.wanted_fps and grant.runtime_id is None:
                assert all(self.is_full(name) for name in serving)

    def is_full(self, name):
        return sum(grant.runtime_id == name for grant in self.told.values()) == self.limits[name].max_streams

    @rule(step_s=st.sampled_from([0.0, 0.02, 0.5]))
    def pump(self, step_s):
        self.now_s += step_s
        while True:
            dispatch, drops = self.scheduler.next(self.now_s)
            self.take_drops(drops, DropCause.EXPIRED)
            if dispatch is None:
                return
            self.take_dispatch(dispatch)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), latency_s=st.none() | st.floats(0, 3))
    def complete(self, data, latency_s):
        dispatch = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.scheduler.complete(dispatch, latency_s)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), step_s=st.sampled_from([0.0, 0.05, 3.0]))
    def redirect(self, data, step_s):
        self.now_s += step_s
        lost = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        again = self.scheduler.redirect(lost, self.now_s)
        self.scheduler.complete(lost, None)
        if again is not None:
            assert (again.key, again.frame, again.offered_s) == (lost.key, lost.frame, lost.offered_s)
            assert again.runtime_id != lost.runtime_id
            assert again.key[1] in self.ready[again.runtime_id]
            assert self.now_s < again.deadline_s == again.offered_s + self.limits[again.runtime_id].timeout_s
            assert again.key not in {dispatch.key for dispatch in self.flying}
            in_flight, window = self.scheduler.load(again.runtime_id)
            assert in_flight <= window
            self.flying.append(again)

    # Books

    def take_drops(self, drops: list[Drop], *causes: DropCause) -> None:
        for drop in drops:
            assert drop.cause in causes
            self.end(drop.frame_index, drop.cause.value)

    def take_dispatch(self, dispatch: Dispatch) -> None:
        self.end(dispatch.frame.index, "dispatched")
        assert dispatch.key in self.subscribed
        assert dispatch.key[1] in self.ready[dispatch.runtime_id]
        assert dispatch.runtime_id == self.scheduler.grant(dispatch.key).runtime_id
        assert dispatch.offered_s == self.offered[dispatch.frame.index]
        timeout_s = self.limits[dispatch.runtime_id].timeout_s
        assert dispatch.deadline_s == self.now_s + timeout_s
        period_s = 1 / max(1e-9, self.scheduler.grant(dispatch.key).granted_fps)
        assert self.now_s < dispatch.offered_s + max(timeout_s, period_s) * 1.000001
        in_flight, window = self.scheduler.load(dispatch.runtime_id)
        assert in_flight <= window
        self.flying.append(dispatch)

    def end(self, number: int, how: str) -> None:
        assert number not in self.ended, f"frame {number} was {self.ended[number]}, now {how}"
        self.ended[number] = how

    @invariant()
    def every_frame_is_somewhere(self):
        waiting = {key: self.scheduler.queue_depth(key) for key in self.subscribed}
        assert set(waiting.values()) <= {0, 1}
        assert len(self.offered) == len(self.ended) + sum(waiting.values())

    @invariant()
    def what_is_in_flight_is_counted_once(self):
        for name in self.limits:
            counted = self.scheduler.load(name)[0]
            assert counted <= sum(dispatch.runtime_id == name for dispatch in self.flying)

    @invariant()
    def no_frame_is_forgotten(self):
        """Whoever waits has a frame on the way, or the window is full, or `wake_s` says when to ask."""
        self.settle(0.0)
        self.pump(0.0)
        flying = {dispatch.key for dispatch in self.flying}
        for key in self.subscribed:
            if not self.scheduler.queue_depth(key) or key in flying:
                continue
            runtime_id = self.scheduler.grant(key).runtime_id
            assert runtime_id is not None
            in_flight, window = self.scheduler.load(runtime_id)
            if in_flight < window:
                assert self.scheduler.wake_s is not None
                assert self.scheduler.wake_s > self.now_s


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


def simulate(
    cameras: dict[tuple[str, str], float],
    limits: RuntimeLimits,
    seconds: float,
    latency_s: float,
    step_s: float = 0.002,
) -> tuple[Counter[tuple[str, str]], list[tuple[float, Dispatch]]]:
    """Cameras that offer at a rate each, one runtime that answers after `latency_s`, time in small steps."""
    scheduler, counts, log = Scheduler(), Counter[tuple[str, str]](), []
    scheduler.set_runtime("triton", limits, MODELS, ready=True)
    for key in cameras:
        scheduler.subscribe(key, limits.max_camera_fps)
    scheduler.settle(0.0)
    due = {key: 100.0 + i * 1e-4 for i, key in enumerate(cameras)}
    flying: list[tuple[float, Dispatch]] = []
    for k in range(int(seconds / step_s)):
        now_s = 100.0 + k * step_s
        for back_s, dispatch in [entry for entry in flying if entry[0] <= now_s]:
            flying.remove((back_s, dispatch))
            scheduler.complete(dispatch, latency_s)
        for key, fps in cameras.items():
            if due[key] <= now_s:
                due[key] += 1 / fps
                scheduler.offer(key, A_FRAME, now_s)
        while (dispatch := scheduler.next(now_s)[0]) is not None:
            counts[dispatch.key] += 1
            log.append((now_s, dispatch))
            flying.append((now_s + latency_s, dispatch))
    return counts, log


def cpu(max_fps: float = 30, max_camera_fps: float = 5, timeout_s: float = 2) -> RuntimeLimits:
    return RuntimeLimits(max_fps=max_fps, max_camera_fps=max_camera_fps, batch_size=1, timeout_s=timeout_s)


def test_equal_cameras_get_equal_shares_within_one_frame_under_overload():
    counts, _ = simulate({(f"c{i}", "people"): 5.0 for i in range(12)}, cpu(), seconds=10, latency_s=0.01)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert len(counts) == 12


def test_a_camera_that_offers_ten_times_as_often_takes_nothing_from_the_others():
    cameras = {(f"c{i}", "people"): 5.0 for i in range(12)} | {("greedy", "people"): 50.0}
    counts, _ = simulate(cameras, cpu(), seconds=10, latency_s=0.01)
    fair = 10 * 30 / 13
    assert all(counts[key] >= 0.85 * fair for key in cameras)
    assert counts["greedy", "people"] <= 1.25 * fair


def test_a_runtimes_rate_is_never_exceeded_by_more_than_a_batch_in_any_window_and_is_used_up():
    _, log = simulate({(f"c{i}", "people"): 30.0 for i in range(20)}, cpu(max_fps=40), seconds=10, latency_s=0.001)
    times = [time_s for time_s, _ in log]
    for i in range(0, len(times), 7):
        for count, time_s in enumerate(times[i:], start=1):
            assert count <= (time_s - times[i]) * 40 + 2.001
    assert len(times) >= 0.98 * 400


def test_a_slow_runtime_starves_nobody():
    cameras = {(f"c{i}", MODELS[i % 2]): 5.0 for i in range(8)}
    counts, log = simulate(cameras, cpu(max_fps=300, timeout_s=5), seconds=20, latency_s=0.5)
    assert set(counts) == set(cameras)
    assert max(counts.values()) <= 2 * min(counts.values())
    for key in cameras:
        times = [time_s for time_s, dispatch in log if dispatch.key == key]
        assert max(b - a for a, b in pairwise(times)) < 4
