"""What is left undecoded, and that it never costs a frame that is wanted."""

from itertools import pairwise

import pytest

from gateway.sources.skipping import Skipping, SkipPolicy


def groups(policy: SkipPolicy, wanted_fps: float, reference_step_s: float = 0.04, group_s: float = 1.0, count: int = 8):
    """Play groups of pictures; what is skipped in each."""
    chosen = []
    for k in range(count):
        chosen.append(policy.key(k * group_s, wanted_fps))
        step_s = reference_step_s if chosen[-1] is Skipping.NON_REFERENCE else 0.04
        for i in range(int(group_s / step_s)):
            policy.picture(k * group_s + i * step_s)
    return chosen


def test_at_the_streams_own_rate_nothing_is_skipped():
    assert set(groups(SkipPolicy(25), 25)) == {Skipping.NOTHING}


def test_at_half_the_rate_pictures_that_no_other_needs_are_skipped():
    assert set(groups(SkipPolicy(25), 12, reference_step_s=0.08)) == {Skipping.NON_REFERENCE}


def test_what_turns_out_too_far_apart_for_the_rate_is_decoded_again_and_not_tried_twice():
    policy = SkipPolicy(25)
    assert groups(policy, 12, reference_step_s=0.16) == [Skipping.NON_REFERENCE] + [Skipping.NOTHING] * 7
    assert groups(policy, 5, reference_step_s=0.16)[-1] is Skipping.NON_REFERENCE


def test_at_one_a_second_key_pictures_do_as_soon_as_two_steps_between_them_are_known():
    chosen = groups(SkipPolicy(25), 1)
    assert chosen[2:] == [Skipping.NON_KEY] * 6
    assert Skipping.NON_KEY not in chosen[:2]


@pytest.mark.parametrize("wanted_fps", [0.5, 1])
def test_key_pictures_too_far_apart_do_not(wanted_fps: float):
    assert Skipping.NON_KEY not in groups(SkipPolicy(25), wanted_fps, group_s=3.0)


def test_a_rate_that_grows_ends_skipping_at_the_next_key_picture():
    policy = SkipPolicy(25)
    groups(policy, 1)
    assert policy.key(8.0, 25) is Skipping.NOTHING


def test_a_camera_that_is_paused_costs_its_key_pictures_at_most():
    assert groups(SkipPolicy(25), 0)[-1] is Skipping.NON_KEY


def test_a_longer_gap_between_keys_brings_everything_back():
    policy = SkipPolicy(25)
    groups(policy, 1)
    assert policy.key(20.0, 1) is not Skipping.NON_KEY


def test_steps_are_measured_within_a_group_alone():
    policy = SkipPolicy(25)
    for at_s in (0.0, 10.0, 20.0):
        policy.key(at_s, 12)
        for earlier, later in pairwise((0.0, 0.08)):
            policy.picture(at_s + earlier)
            policy.picture(at_s + later)
    assert policy.key(30.0, 12) is Skipping.NON_REFERENCE
