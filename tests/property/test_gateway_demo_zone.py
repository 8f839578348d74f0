"""Whoever walks, the demo's zone is crossed and left empty in every act."""

from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sources.demo import DemoStreet

FPS = 5.0
ACT = int(20 * FPS)


@settings(max_examples=20, deadline=None)
@given(
    people=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
    act=st.integers(0, 50),
    size_wh=st.sampled_from([(320, 180), (320, 240), (640, 180)]),
)
def test_the_zone_is_occupied_for_two_seconds_and_empty_for_three_in_every_act(
    people: int, seed: int, act: int, size_wh: tuple[int, int]
):
    street = DemoStreet(people=people, seed=seed, size_wh=size_wh, fps=FPS)
    occupied = [street.zone_occupied(k) for k in range(act * ACT, (act + 1) * ACT)]
    runs = [(value, len(list(members)) / FPS) for value, members in groupby(occupied)]
    assert max(seconds for value, seconds in runs if value) > 2
    assert max(seconds for value, seconds in runs if not value) > 3
    assert len(runs) >= (5 if people > 1 else 3)
