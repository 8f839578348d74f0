"""The scheduler, event by event."""

import pytest

from gateway.domain.capability import RuntimeLimits
from gateway.scheduler import Drop, DropCause, Scheduler
from tests.support.pictures import a_frame

KEY, OTHER = ("yard", "people"), ("gate", "people")


def limits(
    max_fps: float = 1000, batch_size: int = 1, timeout_s: float = 2, most_fps: float | None = None
) -> RuntimeLimits:
    return RuntimeLimits(
        max_fps=max_fps, max_camera_fps=max_fps, batch_size=batch_size, timeout_s=timeout_s, most_fps=most_fps
    )


def a_scheduler(**changes: float | None) -> Scheduler:
    scheduler = Scheduler()
    scheduler.set_runtime("triton", limits(**changes), {"people"}, ready=True)  # type: ignore[arg-type]
    scheduler.subscribe(KEY, 10)
    scheduler.subscribe(OTHER, 10)
    return scheduler


def test_a_newer_frame_takes_the_slot_of_one_that_waits():
    scheduler = a_scheduler()
    assert scheduler.offer(KEY, a_frame(1), 0.0) == []
    assert scheduler.offer(KEY, a_frame(2), 0.1) == [Drop(KEY, 1, DropCause.REPLACED)]
    dispatch, _ = scheduler.next(0.1)
    assert dispatch is not None
    assert dispatch.frame.index == 2


@pytest.mark.parametrize(("most_fps", "sent"), [(None, 2), (1000, 5)])
def test_a_runtime_is_sent_more_than_is_granted_where_it_may_be(most_fps: float | None, sent: int):
    scheduler = a_scheduler(max_fps=2, most_fps=most_fps)
    dispatches = []
    for index in range(5):
        scheduler.offer(KEY, a_frame(index), 10 + index / 500)
        if (dispatch := scheduler.next(10 + index / 500)[0]) is not None:
            scheduler.complete(dispatch, 0.01)
            dispatches.append(dispatch)
    assert len(dispatches) == sent


def test_a_camera_has_one_frame_on_its_way():
    scheduler = a_scheduler()
    scheduler.offer(KEY, a_frame(1), 0.0)
    first, _ = scheduler.next(0.0)
    assert first is not None
    scheduler.offer(KEY, a_frame(2), 0.0)
    assert scheduler.next(0.0) == (None, [])
    scheduler.complete(first, 0.01)
    second, _ = scheduler.next(0.0)
    assert second is not None
    assert second.frame.index == 2


def test_an_answer_for_a_camera_that_was_started_anew_frees_nothing_of_the_new_one():
    scheduler = a_scheduler()
    scheduler.offer(KEY, a_frame(1), 0.0)
    before, _ = scheduler.next(0.0)
    scheduler.unsubscribe(KEY)
    scheduler.subscribe(KEY, 10)
    scheduler.offer(KEY, a_frame(2), 0.1)
    after, _ = scheduler.next(0.1)
    scheduler.offer(KEY, a_frame(3), 0.2)
    assert before is not None
    assert after is not None
    scheduler.complete(before, 0.01)
    assert scheduler.next(0.2) == (None, [])
    scheduler.complete(after, 0.01)
    assert scheduler.next(0.2)[0] is not None


def test_an_answer_of_a_runtime_that_was_away_is_not_counted_for_its_successor():
    scheduler = a_scheduler()
    scheduler.offer(KEY, a_frame(1), 0.0)
    before, _ = scheduler.next(0.0)
    assert before is not None
    scheduler.remove_runtime("triton")
    scheduler.set_runtime("triton", limits(), {"people"}, ready=True)
    assert scheduler.load("triton")[0] == 0
    scheduler.offer(OTHER, a_frame(2), 0.1)
    assert scheduler.next(0.1)[0] is not None
    scheduler.complete(before, 0.01)
    assert scheduler.load("triton")[0] == 1


def test_changed_limits_give_no_burst_and_keep_what_is_on_its_way():
    scheduler = a_scheduler(max_fps=1)
    flying = []
    for key in (KEY, OTHER):
        scheduler.offer(key, a_frame(1), 0.0)
        flying.append(scheduler.next(0.0)[0])
    scheduler.set_runtime("triton", limits(max_fps=1.001), {"people"}, ready=True)
    assert scheduler.load("triton")[0] == 2
    for dispatch in flying:
        assert dispatch is not None
        scheduler.complete(dispatch, 0.01)
    scheduler.offer(KEY, a_frame(2), 0.1)
    assert scheduler.next(0.1)[0] is None
    assert scheduler.wake_s is not None
    assert scheduler.next(scheduler.wake_s)[0] is not None


def test_a_frame_that_grew_too_old_is_dropped_and_the_next_one_sent():
    scheduler = a_scheduler(timeout_s=1)
    scheduler.offer(KEY, a_frame(1), 0.0)
    scheduler.offer(OTHER, a_frame(2), 1.5)
    dispatch, drops = scheduler.next(1.6)
    assert drops == [Drop(KEY, 1, DropCause.EXPIRED)]
    assert dispatch is not None
    assert dispatch.key == OTHER


def test_without_a_runtime_a_frame_is_dropped_at_once_and_the_grant_says_why():
    scheduler = a_scheduler()
    scheduler.set_runtime("triton", limits(), {"cars"}, ready=True)
    assert scheduler.offer(KEY, a_frame(1), 0.0) == [Drop(KEY, 1, DropCause.NO_RUNTIME)]
    scheduler.settle(0.0)
    assert scheduler.grant(KEY).reason == "no runtime serves this model now"
    scheduler.set_runtime("triton", limits(), {"people"}, ready=True)
    scheduler.settle(0.0)
    assert scheduler.grant(KEY).granted_fps == 10


def test_frames_of_a_camera_that_is_gone_are_dropped_as_stopped():
    scheduler = a_scheduler()
    scheduler.offer(KEY, a_frame(1), 0.0)
    assert scheduler.unsubscribe(KEY) == [Drop(KEY, 1, DropCause.STOPPED)]
    assert scheduler.unsubscribe(KEY) == []
    assert scheduler.offer(KEY, a_frame(2), 0.0) == [Drop(KEY, 2, DropCause.STOPPED)]
    assert scheduler.next(0.0) == (None, [])


def test_a_camera_whose_rate_was_raised_is_not_held_to_its_old_deadlines():
    scheduler = a_scheduler(max_fps=10)
    scheduler.subscribe(KEY, 0.01)
    scheduler.offer(KEY, a_frame(1), 0.0)
    first, _ = scheduler.next(0.0)
    assert first is not None
    scheduler.complete(first, 0.01)
    scheduler.subscribe(KEY, 10)
    scheduler.subscribe(OTHER, 10)
    scheduler.settle(0.0)
    served = []
    for k in range(1, 21):
        for key in (KEY, OTHER):
            scheduler.offer(key, a_frame(k), k / 10)
        while (dispatch := scheduler.next(k / 10)[0]) is not None:
            served.append(dispatch.key)
            scheduler.complete(dispatch, 0.01)
    assert abs(served.count(KEY) - served.count(OTHER)) <= 1


def test_ten_thousand_cameras_are_scheduled_in_order_and_none_is_left_out():
    scheduler = Scheduler()
    scheduler.set_runtime("triton", limits(max_fps=1e6, batch_size=8), {"people"}, ready=True)
    keys = [(f"camera-{i}", "people") for i in range(10_000)]
    frame = a_frame()
    for key in keys:
        scheduler.subscribe(key, 5)
    for i, key in enumerate(keys):
        scheduler.offer(key, frame, i * 1e-6)
    served, now_s = [], 1.0
    while (dispatch := scheduler.next(now_s)[0]) is not None:
        served.append(dispatch.key)
        scheduler.complete(dispatch, 0.001)
        now_s += 1e-6
    assert served == keys
