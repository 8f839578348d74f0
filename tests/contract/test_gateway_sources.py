"""What every source promises: on real clips and made ones, the rendered street, and cameras on real servers."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.frame import Frame
from gateway.domain.ports import Source
from gateway.domain.still import Still, StillKind
from gateway.sampling import FpsGate
from gateway.sources import VasSession, open_source
from gateway.sources.push import PushSource
from tests.support.clips import write_clip, write_segments
from tests.support.http_camera import HttpCamera, jpeg, running_http_camera
from tests.support.ring_producer import producing, ring_name
from tests.support.rtsp_server import RtspServer, clip_pipeline, running_rtsp_server
from tests.support.vas_mock import running_vas_mock

CLIPS = (
    "cars_overhead_mjpeg.avi",
    "fall_from_chair_s1.mp4",
    "nofall_sitting_on_bed_s2.mp4",
    "people_one_by_one_50s.mp4",
    "street_people_cars_pexels854100.mp4",
)
RTSP = ("/h264", "/h264?transport=udp")
HTTP = ("/mjpeg", "/without-length", "/snapshot.jpg?fps=30", "/snapshot.png?fps=30")
SLOW_RTSP = pytest.param(RTSP[1], marks=pytest.mark.slow)
WAIT_S = 10


@dataclass(frozen=True)
class Made:
    """A way to make sources of one kind.

    Attributes:
        make: Makes one; files and the demo take a pace.
        live: Whether it comes at its own pace, and its frame time follows a clock.
    """

    make: Callable[[str], Source]
    live: bool


class Pushed:
    """A push source into which somebody keeps putting pictures until it is closed."""

    def __init__(self) -> None:
        self._source = open_source("push:", SystemClock())
        self._closed = threading.Event()

    def open(self, anchor_s: float) -> None:
        self._source.open(anchor_s)
        threading.Thread(target=self._push, daemon=True).start()

    def read(self, gate: FpsGate | None = None) -> Frame | None:
        return self._source.read(gate)

    def close(self) -> None:
        self._closed.set()
        self._source.close()

    def _push(self) -> None:
        assert isinstance(self._source, PushSource)
        while not self._closed.wait(0.03):
            self._source.offer(Still(StillKind.JPEG, jpeg(), time.monotonic()))


@pytest.fixture(scope="module")
def rtsp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtspServer]:
    """A server of an H.264 clip of 60 s with B-frames and two key pictures a second."""
    clip = tmp_path_factory.mktemp("rtsp") / "clip.mp4"
    write_clip(clip, frames=1200, fps=20, size_wh=(66, 50), codec="libx264", options={"g": "10", "bf": "2"})
    with running_rtsp_server({"/h264": clip_pipeline(clip)}) as server:
        yield server


@pytest.fixture(scope="module")
def http() -> Iterator[HttpCamera]:
    with running_http_camera() as camera:
        yield camera


@pytest.fixture
def ring() -> Iterator[str]:
    """Name of a shared-memory ring that a producer keeps writing."""
    with ring_name() as name, producing(name):
        yield name


@pytest.fixture
def vas_session(tmp_path: Path) -> Iterator[VasSession]:
    """A session with a VAS that always has a live stream of 10 frames a second."""
    with running_vas_mock(write_segments(tmp_path), "secret") as vas:
        yield VasSession(
            vas.url, "ruth-ai", "secret", refresh_margin_s=300, clock=SystemClock(), on_request=lambda *_: None
        )


@pytest.fixture(
    params=[
        "demo",
        "shm",
        "made clip",
        *CLIPS,
        "push",
        "vas",
        RTSP[0],
        pytest.param(RTSP[1], marks=pytest.mark.slow),
        *HTTP,
    ]
)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Made:
    """Makes a source of each kind."""
    if request.param == "demo":
        return Made(lambda pace: open_source(f"demo:?size=320x180&fps=2&pace={pace}", SystemClock()), live=False)
    if request.param == "shm":
        name = request.getfixturevalue("ring")
        return Made(lambda _: open_source(f"shm:///{name}", SystemClock()), live=True)
    if request.param == "vas":
        session = request.getfixturevalue("vas_session")
        return Made(lambda _: open_source("vas://camera-1", SystemClock(), vas=session), live=True)
    if request.param == "push":
        return Made(lambda _: Pushed(), live=True)
    if request.param in RTSP:
        url = request.getfixturevalue("rtsp").url(request.param)
        return Made(lambda _: open_source(url, SystemClock()), live=True)
    if request.param in HTTP:
        url = request.getfixturevalue("http").address(request.param)
        return Made(lambda _: open_source(url, SystemClock()), live=True)
    if request.param == "made clip":
        clip = write_clip(tmp_path / "a clip.mp4", frames=40, fps=2, size_wh=(66, 50))
    else:
        clip = request.getfixturevalue("data_dir") / "video" / request.param
    return Made(lambda pace: open_source(f"file://{clip}?pace={pace}", SystemClock()), live=False)


def read(source: Source, count: int, gate: FpsGate | None = None) -> list[Frame]:
    frames = [source.read(gate) for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def test_the_first_frame_comes_at_the_anchor_and_time_goes_on_from_there(made: Made):
    source = made.make("max")
    source.open(1_800_000_000.0)
    frames = read(source, 8)
    source.close()
    assert [frame.index for frame in frames] == list(range(8))
    assert frames[0].pts_s == 0
    assert frames[0].time_s == 1_800_000_000.0
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    assert 0 < times[-1] - times[0] < 10
    assert all(abs(f.time_s - 1_800_000_000.0 - f.pts_s) < 1e-3 for f in frames)


def test_frames_are_planes_of_one_size_and_stay_valid_after_closing(made: Made):
    source = made.make("max")
    source.open(0.0)
    frames = read(source, 4)
    copies = [frame.luma.copy() for frame in frames]
    source.close()
    del source
    assert len({frame.resolution_wh for frame in frames}) == 1
    for frame, copy in zip(frames, copies, strict=True):
        np.testing.assert_array_equal(frame.luma, copy)
        assert frame.luma.dtype == frame.chroma_u.dtype == frame.chroma_v.dtype == np.uint8


def test_what_a_gate_does_not_admit_is_not_given_and_counts(made: Made):
    source = made.make("max")
    source.open(0.0)
    frames = read(source, 4, FpsGate(1.0 if not made.live else 5.0))
    source.close()
    times = [frame.time_s for frame in frames]
    if made.live:  # a frame may come late, and the next one in time: what counts is how many come in how long
        assert times[-1] - times[0] > 0.2
    else:
        assert np.all(np.diff(times) > 0.7)
    assert np.all(np.diff([frame.index for frame in frames]) >= 2)


def test_closing_ends_it_and_may_be_repeated(made: Made):
    source = made.make("max")
    source.open(0.0)
    assert source.read() is not None
    source.close()
    assert source.read() is None
    source.close()
    assert source.read() is None


def test_a_source_that_was_never_opened_can_be_closed(made: Made):
    made.make("max").close()


def test_closing_wakes_a_read_that_waits(made: Made):
    source = made.make("realtime")
    source.open(0.0)
    ended = threading.Event()

    def read_to_the_end() -> None:
        while source.read() is not None:
            pass
        ended.set()

    first = source.read()
    reader = threading.Thread(target=read_to_the_end, daemon=True)
    reader.start()
    source.close()
    assert first is not None
    assert ended.wait(WAIT_S)
