"""When tritonserver is started again."""

from hypothesis import given
from hypothesis import strategies as st
from triton_agent.backoff import HEALTHY_AFTER_S, LONGEST_DELAY_S, Backoff

jitters = st.floats(0, 1, exclude_max=True)


def test_the_first_restart_is_at_once_and_the_next_ones_double():
    backoff = Backoff()
    assert [backoff.delay_s(0, 0) for _ in range(8)] == [0.1, 1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_health_starts_over():
    backoff = Backoff()
    delays = [backoff.delay_s(healthy_s, 0) for healthy_s in (0, 0, 0, HEALTHY_AFTER_S, 0)]
    assert delays == [0.1, 1, 2, 0.1, 1]


@given(st.lists(st.tuples(st.floats(0, 1e6), jitters), min_size=1, max_size=3000))
def test_no_history_makes_it_wait_longer_than_the_longest_delay_or_not_at_all(history):
    backoff = Backoff()
    assert all(0 < backoff.delay_s(healthy_s, jitter) <= LONGEST_DELAY_S for healthy_s, jitter in history)
