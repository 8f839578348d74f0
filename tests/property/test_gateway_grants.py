"""How one runtime's frames/s are shared: max-min fair by weight, nobody more than asked for, nothing left over."""

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduler.grants import water_level

Demands = st.lists(st.tuples(st.just(0.0) | st.floats(1e-3, 1000), st.integers(1, 10)), max_size=30)
Capacity = st.floats(1e-3, 10_000)


def shares(demands, capacity_fps):
    level = water_level(demands, capacity_fps)
    return level, [min(fps, weight * level) for fps, weight in demands]


@given(demands=Demands, capacity_fps=Capacity)
def test_all_together_get_what_there_is_or_what_they_ask_for(demands, capacity_fps):
    _, granted = shares(demands, capacity_fps)
    assert math.isclose(sum(granted), min(capacity_fps, sum(fps for fps, _ in demands)), rel_tol=1e-9, abs_tol=1e-9)


@given(demands=Demands, capacity_fps=Capacity)
def test_who_gets_less_than_asked_for_gets_as_much_by_weight_as_anyone(demands, capacity_fps):
    _, granted = shares(demands, capacity_fps)
    by_weight = [got / weight for got, (_, weight) in zip(granted, demands, strict=True)]
    for got, each, (fps, _) in zip(granted, by_weight, demands, strict=True):
        if got < fps:
            assert each >= max(by_weight) * (1 - 1e-9)


@given(demands=Demands, capacity_fps=Capacity, more=st.tuples(st.floats(1e-3, 1000), st.integers(1, 10)))
def test_one_more_camera_gives_nobody_more(demands, capacity_fps, more):
    before, _ = shares(demands, capacity_fps)
    after, _ = shares([*demands, more], capacity_fps)
    assert after <= before * (1 + 1e-9)


def test_priority_counts_in_proportion_while_frames_are_short():
    _, granted = shares([(30.0, 10), (30.0, 5), (30.0, 1), (0.5, 1)], 16.5)
    assert granted == [10.0, 5.0, 1.0, 0.5]
