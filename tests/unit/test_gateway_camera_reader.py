"""The thread that reads a camera: its states, its retries, and what it does with bugs."""

import datetime as dt
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import (
    InvalidInputError,
    SourceFormatError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnavailableError,
)
from gateway.sources import CameraReader, reader
from gateway.sources.reader import Listener
from gateway.sources.turnstile import TurnGate, Turnstile
from tests.support.pictures import a_frame

WAIT_S = 10
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Script:
    """A source that gives what a test says: times of frames, errors, or None for the end; then it blocks."""

    def __init__(self, *steps: float | Exception | None, opening: Exception | None = None) -> None:
        self.steps: Iterator[float | Exception | None] = iter(steps)
        self._opening = opening
        self._closed = threading.Event()
        self.when_closed: Exception | None = None
        self.anchor_s = 0.0
        self.closed_times = 0

    def open(self, anchor_s: float) -> None:
        self.anchor_s = anchor_s
        if self._opening:
            raise self._opening

    def read(self, gate: Gate | None = None) -> Frame | None:
        for step in self.steps:
            if isinstance(step, Exception):
                raise step
            if step is None:
                return None
            if gate is None or gate.admit(self.anchor_s + step):
                return a_frame(time_s=self.anchor_s + step)
        assert self._closed.wait(WAIT_S)
        if self.when_closed:
            raise self.when_closed
        return None

    def close(self) -> None:
        self.closed_times += 1
        self._closed.set()


class SetClock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def monotonic(self) -> float:
        return self.now.timestamp()

    def utcnow(self) -> dt.datetime:
        return self.now


class Heard:
    """Everything a reader told, in order."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.listener = Listener(
            frame=lambda frame: self.told.put(("frame", frame)),
            state=lambda state, reason: self.told.put((state.value, reason)),
            crash=lambda error: self.told.put(("crash", error)),
        )

    def until(self, what: str) -> list[tuple[str, Any]]:
        """What was told up to and with the first `what`."""
        told = []
        while not told or told[-1][0] != what:
            told.append(self.told.get(timeout=WAIT_S))
        return told


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The longest delay of each retry; none of them is waited for."""
    longest: list[float] = []

    def uniform(_: float, limit: float) -> float:
        longest.append(limit)
        return 0.0

    monkeypatch.setattr(reader.random, "uniform", uniform)
    return longest


@pytest.fixture
def run(heard: Heard) -> Iterator[Callable[..., CameraReader]]:
    """Starts a reader over sources that come one after the other."""
    running: list[CameraReader] = []

    def start(*sources: Script | Exception, fps: float = 1000.0) -> CameraReader:
        waiting = iter(sources)

        def make() -> Script:
            source = next(waiting)
            if isinstance(source, Exception):
                raise source
            return source

        running.append(CameraReader("yard", make, TurnGate(fps, Turnstile(2)), heard.listener, SetClock()))
        running[-1].start()
        return running[-1]

    yield start
    for started in running:
        started.stop()
        started.join()


def states(told: list[tuple[str, Any]]) -> list[str]:
    return [what for what, _ in told if what != "frame"]


def test_a_camera_connects_is_live_and_ends(run, heard: Heard):
    source = Script(0.0, 0.1, None)
    run(source).join()
    assert [what for what, _ in heard.until("ended")] == ["connecting", "live", "frame", "frame", "ended"]
    assert source.closed_times == 1


def test_frame_time_is_anchored_at_the_clock_and_the_gate_holds_the_rate(run, heard: Heard):
    run(Script(*(k / 10 for k in range(28)), None), fps=2).join()
    frames = [frame for what, frame in heard.until("ended") if what == "frame"]
    assert frames[0].time_s == START.timestamp()
    assert len(frames) == 6


def test_a_lost_camera_is_opened_again_with_growing_delays(run, heard: Heard, delays: list[float]):
    away = [Script(opening=SourceUnavailableError("no route")) for _ in range(8)]
    run(*away, Script(0.0, None))
    told = heard.until("ended")
    assert states(told) == ["connecting", "retrying"] * 8 + ["connecting", "live", "ended"]
    assert told[1][1] == "no route; trying again in 0.0 s"
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert all(source.closed_times == 1 for source in away)


def test_after_frames_came_the_first_retry_is_soon_again(run, heard: Heard, delays: list[float]):
    away = [Script(opening=SourceUnavailableError("no route")) for _ in range(6)]
    run(*away, Script(0.0, SourceUnavailableError("lost")), Script(0.0, None))
    heard.until("ended")
    assert delays[-2:] == [16, 0.5]


def test_what_is_no_stream_is_refused_and_not_tried_again(run, heard: Heard):
    run(Script(opening=SourceFormatError("it is a text"))).join()
    assert heard.until("refused") == [("connecting", ""), ("refused", "it is a text")]


def test_a_camera_that_hangs_is_stalled_and_opened_again(run, heard: Heard, delays: list[float]):
    run(Script(0.0, SourceStalledError("nothing has come for 5 s")), Script(1.0, None))
    told = heard.until("ended")
    assert states(told) == ["connecting", "live", "stalled", "connecting", "live", "ended"]
    assert ("stalled", "nothing has come for 5 s; trying again in 0.0 s") in told
    assert delays == [0.5]


def test_a_camera_that_refuses_is_tried_again_after_minutes(run, heard: Heard, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader.random, "uniform", lambda low, high: (low + high) / 2)
    monkeypatch.setattr(reader, "REFUSED_S", 0.05)
    run(*(Script(opening=SourceRefusedError("wrong password")) for _ in range(2)), Script(0.0, None))
    told = heard.until("ended")
    assert states(told) == ["connecting", "refused"] * 2 + ["connecting", "live", "ended"]


def test_a_url_that_can_no_longer_be_used_refuses_the_camera_and_ends_nothing_else(run, heard: Heard):
    run(InvalidInputError("there is no scheme gopher:")).join()
    assert heard.until("refused")[-1] == ("refused", "there is no scheme gopher:")


def test_a_bug_in_a_source_is_reported_and_the_camera_is_tried_again_as_one_that_refuses(
    run, heard: Heard, delays: list[float]
):
    bug = ZeroDivisionError("a bug at rtsp://ann:secret@camera/1")
    source = Script(0.0, bug)
    run(source, Script(1.0, None))
    told = heard.until("ended")
    assert states(told) == ["connecting", "live", "crash", "refused", "connecting", "live", "ended"]
    assert ("crash", bug) in told
    said = "internal error: ZeroDivisionError, see the gateway's log; trying again in 0.0 s"
    assert ("refused", said) in told
    assert delays == [1], "a part of the time that cameras which refuse are left alone for"
    assert source.closed_times == 1


def test_a_bug_that_shows_while_a_camera_is_stopped_is_reported_and_no_state_of_the_camera(run, heard: Heard):
    source = Script(0.0)
    started = run(source)
    heard.until("frame")
    bug = ZeroDivisionError("a bug")
    source.when_closed = bug
    started.stop()
    started.join()
    assert heard.told.get_nowait() == ("crash", bug)
    assert heard.told.empty()


def test_stopping_wakes_a_read_and_says_nothing_more(run, heard: Heard):
    started = run(Script(0.0))
    heard.until("frame")
    started.stop()
    started.join()
    assert heard.told.empty()


def test_a_reader_that_was_stopped_holds_its_source_no_longer(run, heard: Heard):
    started = run(Script(0.0))
    heard.until("frame")
    assert started._source is not None
    started.stop()
    started.join()
    assert started._source is None


def test_stopping_wakes_a_retry(run, heard: Heard, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reader.random, "uniform", lambda *_: 3600.0)
    started = run(Script(opening=SourceUnavailableError("no route")))
    heard.until("retrying")
    started.stop()
    started.join()
    assert heard.told.empty()


def test_a_source_is_let_go_before_the_retry_is_waited_for(run, heard: Heard, monkeypatch: pytest.MonkeyPatch):
    lost = Script(0.0, SourceUnavailableError("lost"))
    closed_by_then: list[int] = []
    monkeypatch.setattr(reader.random, "uniform", lambda *_: closed_by_then.append(lost.closed_times) or 0.0)
    run(lost, Script(None))
    heard.until("ended")
    assert closed_by_then == [1]


class Gone(Script):
    """A clip that takes its turn and then isn't there any more."""

    def read(self, gate: Gate | None = None) -> Frame | None:
        assert gate is not None
        assert gate.wait_turn(lambda: False)
        raise SourceUnavailableError("there is no file")


def test_a_clip_that_is_gone_leaves_its_turn_to_others_while_it_is_tried_again(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reader.random, "uniform", lambda *_: 3600.0)
    turnstile = Turnstile(1)
    started = CameraReader("yard", Gone, TurnGate(10, turnstile), heard.listener, SetClock())
    started.start()
    heard.until("retrying")
    assert turnstile._free == 1
    started.stop()
    started.join()
    assert turnstile._free == 1


def test_frame_time_goes_on_where_a_camera_whose_clock_is_ahead_of_ours_was_lost(
    run, heard: Heard, delays: list[float]
):
    first = Script(0.0, 60.0, SourceUnavailableError("lost"))
    second = Script(0.0, 1.0, None)
    run(first, second)
    times = [frame.time_s for what, frame in heard.until("ended") if what == "frame"]
    assert times == sorted(times)
    assert second.anchor_s == START.timestamp() + 60
    assert times[-1] == START.timestamp() + 61


def test_a_changed_rate_holds_from_the_next_frame_on(run, heard: Heard):
    gave, go_on = threading.Event(), threading.Event()

    def steps() -> Iterator[float | None]:
        for k in range(20):
            if k == 5:
                gave.set()
                assert go_on.wait(WAIT_S)
            yield float(k)
        yield None

    source = Script()
    source.steps = steps()
    started = run(source, fps=0.1)
    assert gave.wait(WAIT_S)
    started.grant(1000, 1000)
    go_on.set()
    frames = [frame for what, frame in heard.until("ended") if what == "frame"]
    assert [frame.time_s - START.timestamp() for frame in frames] == [0, *range(5, 20)]
