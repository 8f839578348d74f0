"""The in-flight window stays within its bounds and follows latency."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.scheduler.window import GradientWindow


@given(
    initial=st.integers(1, 32),
    maximum=st.integers(1, 256),
    observed=st.lists(st.tuples(st.floats(0, 100), st.integers(0, 300)), max_size=200),
)
def test_it_never_leaves_its_bounds(initial: int, maximum: int, observed: list[tuple[float, int]]):
    window = GradientWindow(initial, maximum)
    for latency_s, in_flight in observed:
        window.observe(latency_s, in_flight)
        assert initial <= window.size <= max(initial, maximum)


def test_it_grows_while_it_is_full_and_latency_holds():
    window = GradientWindow(2, 16)
    for _ in range(200):
        window.observe(0.02, window.size)
    assert window.size == 16


def test_it_stays_where_it_is_while_it_is_not_used():
    window = GradientWindow(4, 16)
    for _ in range(200):
        window.observe(0.02, 1)
    assert window.size == 4


def test_it_shrinks_when_latency_rises():
    window = GradientWindow(2, 64)
    for _ in range(300):
        window.observe(0.02, window.size)
    for _ in range(60):
        window.observe(0.5, window.size)
    assert window.size < 16
