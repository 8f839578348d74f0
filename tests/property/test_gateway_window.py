"""The in-flight window stays within its bounds, keeps a runtime busy, and lets few frames wait there."""

import heapq
import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduler.window import LatencyWindow


@given(
    initial=st.integers(1, 32),
    maximum=st.integers(1, 256),
    observed=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 100), st.integers(0, 300)), max_size=200),
)
def test_it_never_leaves_its_bounds(initial: int, maximum: int, observed: list[tuple[str, float, int]]):
    window = LatencyWindow(initial, maximum)
    for model, latency_s, in_flight in observed:
        window.observe(model, latency_s, in_flight)
        assert initial <= window.size <= max(initial, maximum)


def test_it_grows_while_it_is_full_and_latency_holds():
    window = LatencyWindow(2, 16)
    for _ in range(400):
        window.observe("people", 0.02, window.size)
    assert window.size == 16


def test_it_stays_where_it_is_while_it_is_not_used():
    window = LatencyWindow(4, 16)
    for _ in range(400):
        window.observe("people", 0.02, 1)
    assert window.size == 4


def test_it_shrinks_when_latency_rises():
    window = LatencyWindow(2, 64)
    for _ in range(900):
        window.observe("people", 0.02, window.size)
    assert window.size > 30
    for _ in range(80):
        window.observe("people", 0.5, window.size)
    assert window.size < 8


def test_a_runtime_that_has_become_slower_is_learned_anew():
    window = LatencyWindow(2, 16)
    for latency_s in (0.02, 0.5):
        for _ in range(2 * LatencyWindow.PROBE_EVERY):
            window.observe("people", latency_s, window.size)
    assert window.size == 16


def test_a_slow_model_beside_a_fast_one_is_no_queue():
    window = LatencyWindow(2, 16)
    for _ in range(400):
        window.observe("fast", 0.005, window.size)
        window.observe("slow", 0.05, window.size)
    assert window.size == 16


@pytest.mark.parametrize(
    ("instances", "batch", "compute_s"),
    [
        pytest.param(2, 1, lambda _, r: 0.01 * r.lognormvariate(0.2, 0.35), id="two noisy processors"),
        pytest.param(8, 1, lambda _, r: 0.01 * r.lognormvariate(0.2, 0.35), id="eight noisy processors"),
        pytest.param(1, 1, lambda n, _: 0.005 * n, id="a small GPU without batches"),
        pytest.param(1, 8, lambda n, _: 0.004 + 0.001 * n, id="a GPU that takes batches of eight"),
        pytest.param(1, 8, lambda n, r: (0.004 + 0.001 * n) * r.uniform(1, 1.2), id="the same, less even"),
    ],
)
def test_a_runtime_does_nearly_all_it_can_and_frames_wait_no_longer_than_they_are_computed(
    instances: int, batch: int, compute_s: Callable[[int, random.Random], float]
):
    initial = 2 * batch
    fps, latency_s = _saturate(LatencyWindow(initial, max(16, 8 * batch)), instances, batch, compute_s)
    best_fps, _ = _saturate(LatencyWindow(64, 64), instances, batch, compute_s)
    full = max(initial, instances * batch)
    _, least_s = _saturate(LatencyWindow(full, full), instances, batch, compute_s)
    assert fps >= 0.93 * best_fps
    assert latency_s <= 2.05 * least_s


def _saturate(
    window: LatencyWindow, instances: int, batch: int, compute_s: Callable[[int, random.Random], float]
) -> tuple[float, float]:
    """Answers a second and mean latency of a runtime for which frames always wait; the first fifth is no part."""
    answers, skipped, transport_s = 10_000, 2_000, 0.0003
    chance, now_s, since_s = random.Random(7), 0.0, 0.0
    waiting: list[float] = []
    events: list[tuple[float, int, list[float], bool]] = []
    ticket, in_flight, computing, answered, latencies_s = itertools.count(), 0, 0, 0, 0.0
    while answered < answers:
        while in_flight < window.size:
            in_flight += 1
            heapq.heappush(events, (now_s + transport_s, next(ticket), [now_s], False))
        now_s, _, frames, done = heapq.heappop(events)
        if done:
            computing -= 1
            for sent_s in frames:
                window.observe("people", now_s - sent_s, in_flight)
                in_flight, answered = in_flight - 1, answered + 1
                latencies_s += (now_s - sent_s) * (answered > skipped)
            since_s = since_s if answered > skipped else now_s
        else:
            waiting += frames
        while waiting and computing < instances:
            taken, waiting = waiting[:batch], waiting[batch:]
            computing += 1
            heapq.heappush(events, (now_s + compute_s(len(taken), chance), next(ticket), taken, True))
    return (answered - skipped) / (now_s - since_s), latencies_s / (answered - skipped)
