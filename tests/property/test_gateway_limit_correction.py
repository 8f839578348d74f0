"""Corrections of a runtime's limits: never above what is allowed, back to it in the end, and steady under noise."""

import itertools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.capability import RuntimeLimits
from gateway.domain.load import (
    LimitCorrection,
    ModelCounters,
    RuntimeCounters,
    RuntimeLoad,
    load_between,
)

ALLOWED = RuntimeLimits(max_fps=30, max_camera_fps=5, batch_size=4, timeout_s=2.0, max_streams=8)
IDLE = RuntimeLoad(fps=0, answered_fps=0, utilization=0, queue_ms=0, compute_ms=0)

loads = st.builds(
    RuntimeLoad,
    fps=st.floats(0, 1000),
    answered_fps=st.floats(0, 1000),
    utilization=st.floats(0, 1),
    queue_ms=st.floats(0, 5000),
    compute_ms=st.floats(0, 5000),
    pending=st.integers(0, 100),
    refused=st.integers(0, 5),
    late_share=st.floats(0, 1),
)
limits = st.builds(
    RuntimeLimits,
    max_fps=st.floats(0.1, 1000),
    max_camera_fps=st.floats(0.1, 1000),
    batch_size=st.integers(1, 16),
    timeout_s=st.just(1.0),
)


@given(st.lists(st.tuples(loads, limits)), st.integers(0, 32))
def test_limits_are_never_above_what_is_allowed_and_never_nothing(looks, largest_batch):
    correction = LimitCorrection()
    for load, allowed in looks:
        correction.observe(load, allowed)
        corrected = correction.limits(allowed, largest_batch)
        assert 0 < corrected.max_fps <= allowed.max_fps
        assert 0 < corrected.max_camera_fps <= min(allowed.max_camera_fps, corrected.max_fps)
        assert 1 <= corrected.batch_size <= min(allowed.batch_size, largest_batch or allowed.batch_size)
        assert (corrected.timeout_s, corrected.max_streams) == (allowed.timeout_s, allowed.max_streams)


@given(st.lists(loads))
def test_a_runtime_with_time_to_spare_has_its_whole_limit_back_within_half_a_minute(looks):
    correction = LimitCorrection()
    for load in looks:
        correction.observe(load, ALLOWED)
    for _ in range(14):  # one look every two seconds
        correction.observe(IDLE, ALLOWED)
    assert correction.limits(ALLOWED, 0) == ALLOWED
    assert correction.reason == ""


@given(loads)
def test_one_look_changes_nothing(load):
    correction = LimitCorrection()
    correction.observe(load, ALLOWED)
    assert correction.limits(ALLOWED, 0) == ALLOWED


def served(correction, capacity_fps, wanted_fps, looks, noise=0.0, seed=0):
    """A runtime that does `capacity_fps` and no more, asked for what its limit allows; the limit after each look."""
    noisy, history = random.Random(seed), []
    for _ in range(looks):
        capacity = capacity_fps * (1 + noisy.uniform(-noise, noise))
        asked = min(wanted_fps, correction.limits(ALLOWED, 0).max_fps)
        answered, compute_ms = min(asked, capacity), 1000 / capacity
        utilization = min(1.0, asked / capacity)
        queue_ms = compute_ms if asked >= capacity else compute_ms * utilization / 4
        look = RuntimeLoad(
            fps=answered, answered_fps=answered, utilization=utilization, queue_ms=queue_ms, compute_ms=compute_ms
        )
        correction.observe(look, ALLOWED)
        history.append(correction.limits(ALLOWED, 0).max_fps)
    return history


@given(st.floats(1.5, 26), st.integers(0, 1000))
def test_the_limit_settles_near_what_the_runtime_can_do_and_stays_there_under_noise(capacity_fps, seed):
    history = served(LimitCorrection(), capacity_fps, wanted_fps=100, looks=120, noise=0.08, seed=seed)
    settled = history[60:]
    assert all(0.7 * capacity_fps <= limit <= 1.25 * capacity_fps + 3 for limit in settled)
    changes = sum(a != b for a, b in itertools.pairwise(settled))
    assert changes <= 6


@given(st.integers(0, 1000))
def test_a_runtime_that_can_do_what_is_wanted_goes_on_doing_it(seed):
    assert set(served(LimitCorrection(), capacity_fps=12, wanted_fps=9, looks=50, noise=0.05, seed=seed)) == {30}
    assert min(served(LimitCorrection(), capacity_fps=12, wanted_fps=11.9, looks=50, noise=0.05, seed=seed)) > 11


def test_a_runtime_that_is_relieved_gets_its_limit_back():
    correction = LimitCorrection()
    assert served(correction, capacity_fps=10, wanted_fps=100, looks=20)[-1] == pytest.approx(10, rel=0.2)
    assert "computes" in correction.reason
    assert served(correction, capacity_fps=100, wanted_fps=100, looks=20)[-1] == 30
    assert correction.reason == ""


@pytest.mark.parametrize(
    ("changes", "words", "max_fps"),
    [
        ({"refused": 3}, "refused 3 requests", 15),
        ({"late_share": 0.5}, "50% of the frames had no answer", 15),
        (
            {"utilization": 0.97, "queue_ms": 40, "compute_ms": 80},
            "computes 97% of the time, 80 ms a request",
            12 / 0.97,
        ),
    ],
)
def test_the_reason_says_what_was_seen(changes, words, max_fps):
    correction = LimitCorrection()
    for _ in range(2):
        correction.observe(msgspec.structs.replace(IDLE, answered_fps=12, **changes), ALLOWED)
    assert words in correction.reason
    corrected = msgspec.structs.replace(ALLOWED, max_fps=max_fps, batch_size=2, most_fps=ALLOWED.max_fps)
    assert correction.limits(ALLOWED, 2) == corrected


def test_one_that_clearly_answers_more_than_was_believed_is_believed_at_once():
    correction = LimitCorrection()
    for _ in range(2):
        correction.observe(msgspec.structs.replace(IDLE, answered_fps=12, utilization=0.97), ALLOWED)
    for answered_fps, believed_fps in ((13, 12 / 0.97), (20, 20), (21, 20), (40, 30)):
        correction.observe(msgspec.structs.replace(IDLE, answered_fps=answered_fps, utilization=0.8), ALLOWED)
        assert correction.limits(ALLOWED, 2).max_fps == pytest.approx(believed_fps)
    assert not correction.reason


def looked(at_s, requests, **more):
    models = {
        ("people", "1"): ModelCounters(
            instances=2,
            requests=requests,
            inferences=2 * requests,
            queue_s=requests / 100,
            compute_s=requests / 10,
            busy_s=requests / 20,
        )
    }
    return RuntimeCounters(at_s=at_s, models=models, **more)


def test_a_load_is_the_difference_of_two_looks():
    before, after = looked(10, 100, answered=50, late=1), looked(12, 140, answered=70, late=6, refused=2, pending=3)
    assert load_between(before, after) == RuntimeLoad(
        fps=40,
        answered_fps=10,
        utilization=pytest.approx(0.5),
        queue_ms=pytest.approx(10),
        compute_ms=pytest.approx(100),
        pending=3,
        refused=2,
        late_share=0.2,
    )


def test_refusals_that_are_not_known_at_both_looks_are_none():
    known, unknown = {"refused": 7}, {"refused": None}
    for before, after in ((unknown, known), (known, unknown), (unknown, unknown)):
        load = load_between(looked(10, 100, **before), looked(12, 140, **after))
        assert load is not None
        assert (load.fps, load.refused) == (40, 0)


def test_a_model_loaded_anew_between_two_looks_counts_for_nothing_and_a_new_server_for_no_load():
    load = load_between(looked(10, 100), looked(12, 5))
    assert load is not None
    assert (load.fps, load.queue_ms) == (0, 0)
    assert load_between(looked(10, 100, refused=4), looked(12, 120)) is None
    assert load_between(looked(10, 100), looked(10, 120)) is None


def test_what_a_bad_moment_took_is_not_held_back_for_good_though_the_runtime_is_never_idle():
    correction = LimitCorrection()
    served(correction, capacity_fps=10, wanted_fps=100, looks=4)
    recovered = served(correction, capacity_fps=11.5, wanted_fps=100, looks=60)
    assert recovered[0] < 11
    assert recovered[-1] > 11
