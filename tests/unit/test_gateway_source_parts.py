"""The small parts of live cameras: addresses, multipart, the throttle, the feed, live time, pushed pictures."""

import contextlib
import itertools
import math
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.clock import SystemClock
from gateway.domain.still import Still, StillKind
from gateway.errors import InvalidInputError, SourceFormatError, SourceStalledError, SourceUnavailableError
from gateway.masking import mask_secrets
from gateway.sampling import FpsGate
from gateway.sources.addresses import NetworkAddress
from gateway.sources.feed import Feed
from gateway.sources.multipart import boundary_of, read_parts
from gateway.sources.picture import still_size
from gateway.sources.push import PushSource
from gateway.sources.throttle import Throttle
from gateway.sources.timeline import LiveTimeline
from gateway.sources.urls import parse_url
from tests.support.http_camera import jpeg

Secrets = st.text(st.characters(min_codepoint=33, max_codepoint=0xA0), min_size=4, max_size=20)


def an_address(url: str) -> NetworkAddress:
    return NetworkAddress.parse(parse_url(url), {"fps": "", "transport": ""}, frozenset({"fps"}))


# Addresses


@settings(max_examples=40)
@given(user=Secrets, password=Secrets)
def test_credentials_are_decoded_escaped_again_and_in_no_description(user: str, password: str):
    password = f"\u00a7{password}"
    url = f"rtsp://{quote(user, safe='')}:{quote(password, safe='')}@camera:8554/a?b=1"
    address = an_address(url)
    assert (address.user, address.password, address.where) == (user, password, "camera:8554")
    assert an_address(address.text(credentials=True)) == address
    assert address.text(credentials=False) == "rtsp://camera:8554/a?b=1"
    assert password not in repr(address)
    assert mask_secrets(url).endswith(":***@camera:8554/a?b=1")


@pytest.mark.parametrize(
    ("url", "password"),
    [("rtsp://ann:p@ss@camera/1", "p@ss"), ("rtsp://ann:50%off@camera/1", "50%off"), ("rtsp://ann@camera/1", "")],
)
def test_passwords_are_taken_as_people_type_them_where_that_is_clear(url: str, password: str):
    assert (an_address(url).password, an_address(url).host) == (password, "camera")


@pytest.mark.parametrize("password", ["hun\uff0fter", "hun\uff20ter", "hunter]", "hun/ter"])
def test_a_password_that_breaks_its_url_is_not_repeated(password: str):
    with pytest.raises(InvalidInputError, match="can't be read; in a user name or password write") as refused:
        an_address(f"rtsp://ann:{password}@camera/1")
    assert "hun" not in "".join(traceback.format_exception(refused.value))


def test_a_cameras_own_options_stay_in_their_order_and_spelling():
    address = an_address("rtsp://camera/play?channel=1&transport=udp&x=%20+&fps=3&channel=2&flag")
    assert address.target == "/play?channel=1&x=%20+&fps=3&channel=2&flag"
    assert address.options == {"transport": "udp", "fps": "3"}


@pytest.mark.parametrize(
    "host",
    ["camera..local", "192.168.1..5", ".camera", ".", f"{'a' * 64}.local", "camera\0.local"],
)
def test_a_host_that_no_resolver_takes_is_refused_at_once(host: str):
    with pytest.raises(InvalidInputError, match=r"the host of the rtsp: URL is no name"):
        an_address(f"rtsp://ann:secret@{host}/1")


@pytest.mark.parametrize("host", ["camera", "camera.local.", "caf\u00e9.example", "192.168.1.5", f"{'a' * 63}.local"])
def test_a_host_that_a_resolver_takes_is_taken(host: str):
    assert an_address(f"rtsp://{host}/1").host == host


def test_an_address_of_version_6_keeps_its_brackets():
    assert an_address("rtsp://ann:x@[::1]:554/1").text(credentials=True) == "rtsp://ann:x@[::1]:554/1"


# Multipart


@given(
    parts=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5),
    cut=st.integers(1, 50),
    length=st.booleans(),
)
def test_parts_come_out_as_they_went_in_however_they_are_cut(parts: list[bytes], cut: int, length: bool):
    parts = [part.replace(b"--frame", b"").strip(b"\r\n") or b"x" for part in parts]
    stream = b"preamble\r\n"
    for part in parts:
        header = b"Content-Type: image/jpeg\r\n" + (b"content-LENGTH: %d\r\n" % len(part) if length else b"")
        stream += b"--frame\r\n" + header + b"\r\n" + part + b"\r\n"
    stream += b"--frame--\r\n"
    chunks = [stream[i : i + cut] for i in range(0, len(stream), cut)]
    assert list(read_parts(chunks, b"frame", 100_000)) == parts


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/x-mixed-replace;boundary=--myboundary", b"myboundary"),
        ('multipart/x-mixed-replace; boundary="a b"', b"a b"),
        ("multipart/x-mixed-replace; Boundary = x; charset=y", b"x"),
    ],
)
def test_a_boundary_is_found_however_it_is_written(content_type: str, boundary: bytes):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["multipart/x-mixed-replace", "multipart/x-mixed-replace; boundary=--"])
def test_a_stream_that_states_no_boundary_is_no_stream(content_type: str):
    with pytest.raises(SourceFormatError, match="no boundary"):
        boundary_of(content_type)


@pytest.mark.parametrize(
    "stream",
    [b"x" * 2000, b"--b\r\n" + b"x" * 20_000, b"--b\r\nContent-Length: 9999\r\n\r\n", b"--b\r\n\r\n" + b"x" * 2000],
)
def test_what_is_too_long_is_not_kept(stream: bytes):
    with pytest.raises(SourceFormatError):
        list(read_parts(itertools.repeat(stream, 10), b"b", 1000))


def test_a_stream_that_breaks_off_gives_its_whole_parts():
    assert list(
        read_parts([b"--b\r\nContent-Length: 2\r\n\r\nab\r\n--b\r\nContent-Length: 9\r\n\r\nab"], b"b", 99)
    ) == [b"ab"]


# Pictures


@pytest.mark.parametrize("size_wh", [(16, 8), (1920, 1080)])
def test_the_size_of_a_jpeg_is_read_from_its_header(size_wh: tuple[int, int]):
    assert still_size(Still(StillKind.JPEG, jpeg(size_wh=size_wh), 0.0)) == size_wh


@given(content=st.binary(max_size=300))
def test_a_header_of_anything_is_a_size_or_refused(content: bytes):
    for kind, start in (
        (StillKind.JPEG, b"\xff\xd8\xff"),
        (StillKind.PNG, b"\x89PNG\r\n\x1a\n"),
        (StillKind.NV12, b""),
    ):
        try:
            width, height = still_size(Still(kind, start + content, 0.0, (16, 2)))
        except SourceFormatError:
            continue
        assert width > 0
        assert height > 0


# The throttle


@given(gaps=st.lists(st.floats(0, 0.1), min_size=1, max_size=500))
def test_no_second_holds_more_than_the_rate_and_a_burst(gaps: list[float]):
    throttle, now_s, taken = Throttle(100, 20), 0.0, []
    for gap_s in gaps:
        now_s += gap_s
        now_s += throttle.take(now_s)
        taken.append(now_s)
    for k, at_s in enumerate(taken):
        assert sum(1 for other in taken[k:] if other - at_s < 1.0 - 1e-6) <= 121


# The feed


class Counting:
    """A connection that gives numbers, then does what a test says."""

    def __init__(self, count: int, then: Exception | threading.Event | None = None) -> None:
        self._count = count
        self._then = then
        self.closed = threading.Event()

    def items(self) -> Iterator[tuple[int, int]]:
        yield from ((k, 1) for k in range(self._count))
        if isinstance(self._then, Exception):
            raise self._then
        if self._then is not None:
            self._then.wait(10)

    def interrupt(self) -> None:
        if isinstance(self._then, threading.Event):
            self._then.set()

    def close(self) -> None:
        self.closed.set()


def a_feed(connection: Counting, capacity: int = 100) -> Feed[int]:
    feed: Feed[int] = Feed("test", SystemClock(), capacity, 1000)
    feed.connect(lambda: connection, 5)
    return feed


def test_what_came_is_taken_in_order_then_the_end():
    connection = Counting(3)
    feed = a_feed(connection)
    assert [feed.take(5) for _ in range(4)] == [(0, False), (1, False), (2, False), (None, False)]
    assert connection.closed.wait(5)


@pytest.mark.parametrize("error", [SourceUnavailableError("gone"), ZeroDivisionError("a bug")])
def test_an_error_comes_after_what_was_received_before_it(error: Exception):
    feed = a_feed(Counting(1, error))
    assert feed.take(5) == (0, False)
    with pytest.raises(type(error)):
        feed.take(5)


def test_when_it_is_full_all_is_dropped_and_said():
    connection = Counting(25, threading.Event())
    feed = a_feed(connection, capacity=10)
    deadline = time.monotonic() + 5
    while feed._waiting and feed._waiting[-1][0] != 24 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert feed.take(5) == (20, True)
    assert feed.take(5) == (21, False)
    feed.close()
    assert connection.closed.wait(5)


def test_one_that_blocks_while_connecting_is_given_up_and_closed_when_it_comes_back():
    come_back, connection = threading.Event(), Counting(3)

    def connect() -> Counting:
        come_back.wait(10)
        return connection

    feed: Feed[int] = Feed("test", SystemClock(), 10, 1000)
    with pytest.raises(SourceUnavailableError, match="no answer within"):
        feed.connect(connect, 0.05)
    feed.close()
    come_back.set()
    assert connection.closed.wait(5)


def test_closing_wakes_whoever_takes_and_nothing_in_time_is_a_stall():
    feed = a_feed(Counting(0, threading.Event()))
    with pytest.raises(SourceStalledError):
        feed.take(0.02)
    threading.Timer(0.05, feed.close).start()
    assert feed.take(10) == (None, False)


# Live time


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def utcnow(self):
        raise NotImplementedError


@given(
    steps=st.lists(st.tuples(st.floats(0, 2), st.floats(-1e5, 1e5) | st.floats(0, 0.2)), min_size=1, max_size=60),
)
def test_live_time_never_goes_back_and_stays_near_the_clock(steps: list[tuple[float, float]]):
    clock = Hands()
    timeline = LiveTimeline(1000.0, 0.04, clock)
    pts_s, last_s = 0.0, -math.inf
    for passed_s, step_s in steps:
        clock.now_s += passed_s
        pts_s += step_s
        _, time_s = timeline.advance(pts_s)
        assert time_s >= last_s
        last_s = time_s
        began_s = timeline._began_s
        assert began_s is not None
        assert time_s - 1000.0 <= clock.now_s - began_s + LiveTimeline.DRIFT_S + 1e-6
        assert time_s - 1000.0 >= clock.now_s - began_s - LiveTimeline.DRIFT_S - 1e-6


def test_live_time_goes_by_the_streams_own_stamps_while_they_are_plausible():
    clock = Hands()
    timeline = LiveTimeline(0.0, 0.04, clock)
    placed = []
    for k in range(50):
        clock.now_s += 0.04 + (0.5 if k % 10 == 0 else 0.0) * (-1) ** k  # they come late, and in bursts
        placed.append(timeline.advance(7000 + k * 0.04)[0])
    assert placed == pytest.approx([k * 0.04 for k in range(50)])


def test_live_time_says_when_it_was_set_and_takes_as_much_room_as_it_is_given():
    clock, told = Hands(), list[str]()
    timeline = LiveTimeline(0.0, 0.04, clock, lambda: told.append("set"))
    timeline.drift_s = 30
    assert [timeline.advance(pts_s)[0] for pts_s in (0.0, 20.0)] == [0.0, 20.0]
    assert told == []
    assert [timeline.advance(pts_s)[0] for pts_s in (20_000.0, 20_000.5)] == [20.0, 20.5]
    assert told == ["set"]


# Pushed pictures


def test_a_newer_picture_takes_the_place_of_one_that_waits():
    source = PushSource()
    source.open(0.0)
    first, second = (source.offer(Still(StillKind.JPEG, jpeg(), float(k))) for k in range(2))
    assert first.result(5) is False
    frame = source.read()
    assert frame is not None
    assert second.result(5) is True


def test_a_picture_before_its_time_is_not_decoded_and_a_broken_one_is_refused():
    source, gate = PushSource(), FpsGate(1)
    source.open(0.0)
    answers = []
    reader = threading.Thread(target=lambda: [source.read(gate) for _ in range(2)], daemon=True)
    reader.start()
    for content, time_s in (
        (jpeg(), 0.0),
        (b"\xff\xd8\xff nothing", 0.1),
        (b"\xff\xd8\xff nothing", 1.0),
        (jpeg(), 2.0),
    ):
        answers.append(source.offer(Still(StillKind.JPEG, content, time_s)))
        answers[-1].exception(5)
    reader.join(5)
    assert [answer.result() for answer in (answers[0], answers[1], answers[3])] == [True, False, True]
    assert isinstance(answers[2].exception(), SourceFormatError)


@pytest.mark.parametrize("then", ["a newer one comes", "it is taken", "the camera is stopped"])
def test_a_picture_whose_sender_has_given_up_is_passed_over(then: str):
    source = PushSource()
    source.open(0.0)
    given_up = source.offer(Still(StillKind.JPEG, jpeg(), 0.0))
    assert given_up.cancel()
    if then == "the camera is stopped":
        source.close()
        assert source.read() is None
        return
    with ThreadPoolExecutor(1) as threads, contextlib.closing(source):
        reading = threads.submit(source.read) if then == "it is taken" else None
        while reading is not None and source._waiting is not None:
            time.sleep(0.001)
        newer = source.offer(Still(StillKind.JPEG, jpeg(), 1.0))
        frame = source.read() if reading is None else reading.result(5)
    assert newer.result(5) is True
    assert frame is not None
    assert frame.index == 0


def test_a_sender_who_gives_up_while_a_picture_is_looked_at_disturbs_nobody():
    source = PushSource()
    source.open(0.0)
    offered = source.offer(Still(StillKind.JPEG, jpeg(), 0.0))

    class Impatient(FpsGate):
        def admit(self, time_s: float) -> bool:
            assert not offered.cancel()
            return super().admit(time_s)

    assert source.read(Impatient(1)) is not None
    assert offered.result(5) is True


def test_pictures_for_a_camera_that_was_stopped_are_refused():
    source = PushSource()
    source.open(0.0)
    waiting = source.offer(Still(StillKind.JPEG, jpeg(), 0.0))
    source.close()
    late = source.offer(Still(StillKind.JPEG, jpeg(), 1.0))
    assert all(isinstance(answer.exception(5), SourceUnavailableError) for answer in (waiting, late))
    assert source.read() is None
