"""Blind time: every second without a look is counted once, and no second with one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.blindness import PATIENCE_FRAMES, PATIENCE_S, Blindness

PERIOD_S = 0.25
Steps = st.lists(st.tuples(st.sampled_from(["see", "wait"]), st.integers(0, 80)), max_size=60)


@given(steps=Steps)
def test_blind_time_is_that_between_frames_too_far_apart_however_often_one_asks(steps: list[tuple[str, int]]):
    blindness, now_s, seen_s, told_s, expected_s = Blindness(list), 0.0, 0.0, 0.0, 0.0
    blindness.wait(0.0, PERIOD_S, "retrying")
    for what, eighths in steps:
        now_s += eighths / 8
        if what == "wait":
            blindness.wait(now_s, PERIOD_S, "retrying")
            continue
        gap_s = now_s - seen_s
        gap_is_blind = gap_s > PATIENCE_S + PATIENCE_FRAMES * PERIOD_S
        expected_s += gap_s - PERIOD_S if gap_is_blind else 0.0
        told_s += blindness.see(now_s, PERIOD_S, "retrying")
        seen_s = now_s
        assert told_s == pytest.approx(expected_s)
        assert blindness.seconds["retrying"] == pytest.approx(expected_s)


def test_each_reason_has_its_part():
    blindness = Blindness(list)
    blindness.wait(0, 1, "connecting")
    blindness.wait(10, 1, "connecting")
    blindness.wait(14, 1, "timeout")
    assert blindness.see(15, 1, "timeout") == 14
    assert blindness.seconds == {"connecting": 9, "timeout": 5}
    assert blindness.see(16, 1, "timeout") == 0
