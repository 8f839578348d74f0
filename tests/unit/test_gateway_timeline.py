"""Frame time from timestamps, and frames given at the speed of the recording."""

import datetime as dt
import threading
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.sources.pacing import Pacer
from gateway.sources.timeline import Timeline
from gateway.sources.urls import Pace


@given(
    anchor_s=st.sampled_from([0.0, 1_800_000_000.0]),
    stamps=st.lists(st.none() | st.floats(-1e4, 1e6) | st.just("restart"), max_size=60),
)
def test_frame_time_begins_at_the_anchor_and_never_goes_backwards(anchor_s: float, stamps: list):
    timeline, last_s = Timeline(anchor_s, 0.04), None
    for stamp in stamps:
        if stamp == "restart":
            if last_s is not None:
                timeline.restart()
            continue
        pts_s, time_s = timeline.advance(stamp)
        assert pts_s >= 0
        assert time_s == anchor_s if last_s is None else time_s >= last_s
        assert abs(timeline.elapsed_s() - (time_s - anchor_s)) < 1e-6 * max(1, time_s)
        last_s = time_s


def test_timestamps_count_from_the_first_one():
    timeline = Timeline(100.0, 0.04)
    assert [timeline.advance(pts_s) for pts_s in (7.0, 7.5, 8.25)] == [(0.0, 100.0), (0.5, 100.5), (1.25, 101.25)]


def test_a_frame_without_a_timestamp_follows_after_one_frames_time():
    timeline = Timeline(100.0, 0.25)
    assert [timeline.advance(pts_s)[1] for pts_s in (None, None, None)] == [100.0, 100.25, 100.5]


def test_a_loop_goes_on_one_frame_later():
    timeline = Timeline(100.0, 0.5)
    timeline.advance(3.0)
    timeline.advance(3.5)
    timeline.restart()
    assert timeline.advance(3.0) == (0.0, 101.0)
    assert timeline.advance(3.5) == (0.5, 101.5)


def test_a_stream_whose_clock_starts_anew_does_not_stand_still():
    timeline = Timeline(0.0, 0.1)
    for k in range(100):
        timeline.advance(5000 + k / 10)
    times = [timeline.advance(k / 10)[1] for k in range(20)]
    assert [round(b - a, 6) for a, b in pairwise(times)] == [0.1] * 19
    assert round(times[0], 6) == 10.0


def test_frames_a_little_out_of_order_share_a_time():
    timeline = Timeline(0.0, 0.1)
    assert [timeline.advance(pts_s)[1] for pts_s in (0.0, 0.2, 0.1, 0.3)] == [0.0, 0.2, 0.2, 0.3]


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def monotonic(self) -> float:
        return self.now_s

    def utcnow(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self.now_s, dt.UTC)


def test_a_frame_that_is_due_already_is_not_waited_for():
    clock = SetClock()
    pacer = Pacer(Pace.REALTIME, clock)
    assert pacer.wait(0.0)
    clock.now_s = 50.9
    assert pacer.wait(0.04)


def test_after_a_long_stall_the_schedule_moves_instead_of_giving_a_burst():
    clock = SetClock()
    pacer = Pacer(Pace.REALTIME, clock)
    pacer.wait(0.0)
    clock.now_s = 60.0
    pacer.wait(0.04)
    waiting = threading.Thread(target=pacer.wait, args=(3600.0,), daemon=True)
    waiting.start()
    waiting.join(0.05)
    assert waiting.is_alive()
    pacer.stop()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_schedule_that_begins_anew_has_the_next_frame_due_at_once():
    pacer = Pacer(Pace.REALTIME, SetClock())
    assert pacer.wait(0.0)
    pacer.restart()
    began_s = time.monotonic()
    assert pacer.wait(3600.0)
    assert pacer.wait(3600.01)
    assert time.monotonic() - began_s < 60


def test_a_stopped_pacer_waits_for_nothing():
    for pace in Pace:
        pacer = Pacer(pace, SetClock())
        assert pacer.wait(0.0)
        pacer.stop()
        assert pacer.stopped
        assert not pacer.wait(3600.0)
