"""The FPS gate keeps its budget, from above and from below, whatever the frame times do."""

import random

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.sampling import FpsGate

Rates = st.floats(0.5, 30)


def frame_times(source_fps: float, jitter: float, seconds: float, seed: int) -> list[float]:
    """Times around an even grid, each up to `jitter` periods off, in order."""
    noise = random.Random(seed)
    period = 1 / source_fps
    return sorted((k + noise.uniform(-jitter, jitter)) * period for k in range(int(seconds * source_fps)))


@given(
    fps=Rates,
    gaps=st.lists(st.floats(0, 3) | st.floats(0, 0.05), min_size=1, max_size=300),
    start_s=st.sampled_from([0.0, 1_800_000_000.0]),
)
def test_no_window_holds_more_than_its_budget_and_three_frames(fps: float, gaps: list[float], start_s: float):
    gate, time_s, admitted = FpsGate(fps), start_s, []
    for gap in gaps:
        time_s += gap
        if gate.admit(time_s):
            admitted.append(time_s)
    for i, begin in enumerate(admitted):
        for count, end in enumerate(admitted[i:], start=1):
            assert count <= (end - begin) * fps + 3.01


@given(fps=Rates, factor=st.floats(1.0, 10), jitter=st.floats(0, 0.4), seed=st.integers(0, 2**32))
def test_jitter_costs_at_most_three_hundredths_of_the_budget(fps: float, factor: float, jitter: float, seed: int):
    seconds = 400 / fps
    gate = FpsGate(fps)
    admitted = sum(gate.admit(time_s) for time_s in frame_times(fps * factor, jitter, seconds, seed))
    assert admitted >= 0.97 * fps * seconds - 2


@given(before=Rates, after=Rates, seed=st.integers(0, 2**32))
def test_a_changed_rate_holds_from_the_next_frame_on(before: float, after: float, seed: int):
    assume(before != after)
    gate = FpsGate(before)
    times = frame_times(60, 0.4, 20, seed)
    admitted = [time_s for time_s in times[:600] if gate.admit(time_s)]
    gate.fps = after
    later = [time_s for time_s in times[600:] if gate.admit(time_s)]
    assert abs(len(later) - after * 10) <= max(2, 0.03 * after * 10)
    assert abs(len(admitted) - before * 10) <= max(2, 0.03 * before * 10)


@given(fps=st.lists(st.integers(1, 30), min_size=2, max_size=20), period_s=st.floats(0.001, 0.05))
def test_changes_of_rate_are_no_occasion_for_a_frame_more(fps: list[int], period_s: float):
    gate = FpsGate(fps[0])
    admitted = [k * period_s for k in range(1000) if _admits_at_rate(gate, fps[k % len(fps)], k * period_s)]
    assert len(admitted) <= (admitted[-1] - admitted[0]) * max(fps) + 3.01


def _admits_at_rate(gate: FpsGate, fps: float, time_s: float) -> bool:
    gate.fps = fps
    return gate.admit(time_s)


def test_a_lower_rate_waits_its_own_period_from_the_frame_before():
    gate = FpsGate(20)
    assert gate.admit(0.0)
    gate.fps = 5
    assert [gate.admit(time_s) for time_s in (0.05, 0.1, 0.15, 0.2)] == [False, False, False, True]


@given(times=st.lists(st.floats(0, 100)))
def test_a_rate_of_zero_lets_nothing_through(times: list[float]):
    gate = FpsGate(0)
    assert not any(gate.admit(time_s) for time_s in sorted(times))


@given(fps=Rates, silence_s=st.floats(10, 1e7))
def test_a_long_silence_is_not_made_up_for(fps: float, silence_s: float):
    gate = FpsGate(fps)
    assert gate.admit(0.0)
    burst = [gate.admit(silence_s + k * 1e-3) for k in range(10)]
    assert burst[0]
    assert sum(burst) <= 3


def test_a_camera_at_the_very_rate_asked_for_loses_nothing_to_jitter():
    for seed in range(20):
        gate = FpsGate(10)
        admitted = [gate.admit(time_s) for time_s in frame_times(10, 0.4, 100, seed)]
        assert sum(admitted) >= 998


def test_setting_the_rate_it_has_already_changes_nothing():
    gate = FpsGate(1)
    assert gate.admit(0.0)
    gate.fps = 1
    assert not gate.admit(0.5)


def test_a_rate_set_by_another_thread_holds_from_the_next_frame_on():
    gate = FpsGate(1)
    assert [gate.admit(time_s) for time_s in (0.0, 0.1)] == [True, False]
    gate.fps = 10
    assert gate.fps == 10
    assert [gate.admit(time_s) for time_s in (0.15, 0.25)] == [True, True]
