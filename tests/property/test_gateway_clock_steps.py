"""Ages count while the wall clock goes as time does, and not for a while once it has been set."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.clock import PATIENCE_S, STEP_S, StepWatch

YEAR_S = 365 * 86_400
STEPS = st.one_of(st.floats(STEP_S + 1, YEAR_S), st.floats(-YEAR_S, -STEP_S - 1))
PAUSES = st.lists(st.floats(0, 2 * PATIENCE_S), max_size=10)


class TwoClocks:
    """A wall clock that can be set and a monotonic one that can't."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
        self.now_s = 0.0

    def utcnow(self) -> dt.datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now_s

    def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        self.step(seconds)

    def step(self, seconds: float) -> None:
        self.now += dt.timedelta(seconds=seconds)


@given(st.lists(st.tuples(st.floats(0, YEAR_S), st.floats(-STEP_S + 1, STEP_S - 1)), max_size=20))
def test_a_clock_that_is_kept_right_is_always_trusted(moves: list[tuple[float, float]]) -> None:
    clocks = TwoClocks()
    watch = StepWatch(clocks)
    for seconds, slewed_s in moves:
        clocks.pass_by(seconds)
        clocks.step(slewed_s)
        assert watch.is_trusted()


@given(STEPS, PAUSES)
def test_a_clock_that_was_set_is_trusted_an_hour_later_and_no_sooner(step_s: float, pauses: list[float]) -> None:
    clocks = TwoClocks()
    watch = StepWatch(clocks)
    clocks.step(step_s)
    assert not watch.is_trusted()
    assert abs(watch.stepped_by.total_seconds() - step_s) <= 1
    set_at_s = clocks.now_s
    for pause_s in pauses:
        clocks.pass_by(pause_s)
        assert watch.is_trusted() == (clocks.now_s - set_at_s >= PATIENCE_S)


@given(st.lists(st.tuples(STEPS, st.floats(0, PATIENCE_S - 1)), min_size=1, max_size=8))
def test_a_clock_that_is_set_again_and_again_is_trusted_once_it_is_back(steps: list[tuple[float, float]]) -> None:
    clocks = TwoClocks()
    watch = StepWatch(clocks)
    away_s = 0.0
    for step_s, pause_s in steps:
        clocks.step(step_s)
        away_s += step_s
        assert watch.is_trusted() == (abs(away_s) <= STEP_S)
        clocks.pass_by(pause_s)
        if watch.is_trusted():
            away_s = 0.0
    clocks.step(-away_s)
    assert watch.is_trusted()
