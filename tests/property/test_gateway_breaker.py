"""The circuit breaker under any order of outcomes and times."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.domain.breaker import (
    CONSECUTIVE_FAILURES,
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    SETTLED_S,
    WINDOW,
    BreakerState,
    CircuitBreaker,
)

jitters = st.floats(0, 1, exclude_max=True)


class BreakerMachine(RuleBasedStateMachine):
    """Any outcomes, with the failures in a row counted here."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.breaker = CircuitBreaker(self.now_s)
        self.in_a_row = 0

    @rule(step_s=st.sampled_from([0.0, 0.01, 0.3, 2.0, 60.0]))
    def wait(self, step_s):
        self.now_s += step_s

    @rule()
    def succeed(self):
        before = self.breaker.state
        self.breaker.succeed(self.now_s)
        self.in_a_row = 0
        assert self.breaker.state is before, "only a try closes it"

    @rule(jitter=jitters)
    def fail(self, jitter):
        was_closed = self.breaker.closed
        self.breaker.fail(self.now_s, "late", jitter)
        self.in_a_row += 1
        if was_closed and self.in_a_row >= CONSECUTIVE_FAILURES:
            assert self.breaker.state is BreakerState.OPEN
        if was_closed and not self.breaker.closed:
            assert self.now_s <= self.breaker.try_at_s <= self.now_s + LONGEST_DELAY_S

    @precondition(lambda self: self.breaker.try_at_s is not None)
    @rule(answered=st.booleans(), jitter=jitters)
    def try_it(self, answered, jitter):
        self.now_s = max(self.now_s, self.breaker.try_at_s)
        self.breaker.begin_try()
        self.breaker.end_try(self.now_s, "" if answered else "still late", jitter)
        assert self.breaker.closed == answered
        self.in_a_row = 0

    @invariant()
    def it_says_why_and_when_exactly_while_it_is_not_closed(self):
        assert self.breaker.closed == (self.breaker.reason == "")
        assert (self.breaker.try_at_s is not None) == (self.breaker.state is BreakerState.OPEN)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@given(st.lists(st.floats(0.001, 0.3), min_size=1, max_size=200))
def test_single_failures_among_many_answers_never_open_it(steps_s):
    now_s = 0.0
    breaker = CircuitBreaker(now_s)
    for step_s in steps_s:
        now_s += step_s
        breaker.fail(now_s, "late", 0.5)
        for _ in range(3):
            breaker.succeed(now_s)
        assert breaker.closed


def test_half_of_the_last_outcomes_failing_opens_it():
    breaker = CircuitBreaker(0.0)
    for k in range(WINDOW // 2):
        assert breaker.closed
        breaker.succeed(k / 100)
        breaker.fail(k / 100, "refused", 0.5)
    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, "refused")


def test_two_failures_are_enough_where_nothing_has_come_back_for_a_second():
    breaker = CircuitBreaker(0.0)
    breaker.fail(2.0, "late", 0.5)
    assert breaker.closed
    breaker.fail(2.0, "late", 0.5)
    assert breaker.state is BreakerState.OPEN


def test_waits_double_with_failed_tries_and_start_over_after_it_has_held():
    breaker, now_s = CircuitBreaker(0.0), 0.0
    breaker.trip(now_s, "away", 1.0)
    waits_s = []
    for _ in range(8):
        waits_s.append(breaker.try_at_s - now_s)
        now_s = breaker.try_at_s
        breaker.begin_try()
        breaker.end_try(now_s, "away", 1.0)
    assert waits_s == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
    breaker.begin_try()
    breaker.end_try(now_s, "", 1.0)
    breaker.trip(now_s + 1, "away again", 1.0)
    assert breaker.try_at_s - now_s == pytest.approx(1 + LONGEST_DELAY_S)
    breaker.begin_try()
    breaker.end_try(now_s + 10, "", 1.0)
    breaker.trip(now_s + 10 + SETTLED_S, "away after long", 1.0)
    assert breaker.try_at_s - now_s == pytest.approx(10 + SETTLED_S + FIRST_DELAY_S)


def test_what_was_sent_before_it_opened_changes_nothing():
    breaker = CircuitBreaker(0.0)
    breaker.trip(1.0, "away", 0.5)
    try_at_s = breaker.try_at_s
    breaker.succeed(1.1)
    breaker.fail(1.1, "late", 0.9)
    assert (breaker.state, breaker.reason, breaker.try_at_s) == (BreakerState.OPEN, "away", try_at_s)


def test_a_try_that_ends_after_it_was_tripped_anew_does_not_close_it():
    breaker = CircuitBreaker(0.0)
    breaker.trip(1.0, "late", 0.5)
    breaker.begin_try()
    breaker.trip(1.1, "the connection broke", 0.5)
    breaker.end_try(1.2, "", 0.5)
    assert (breaker.state, breaker.reason) == (BreakerState.OPEN, "the connection broke")
