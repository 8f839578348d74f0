"""What every source promises, on real clips, made ones, and the rendered street."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.frame import Frame
from gateway.domain.ports import Source
from gateway.sources import open_source
from tests.support.clips import write_clip
from tests.support.ring_producer import producing, ring_name

CLIPS = (
    "cars_overhead_mjpeg.avi",
    "fall_from_chair_s1.mp4",
    "nofall_sitting_on_bed_s2.mp4",
    "people_one_by_one_50s.mp4",
    "street_people_cars_pexels854100.mp4",
)
WAIT_S = 10

Make = Callable[[str], Source]


@pytest.fixture(params=["demo", "shm", "made clip", *CLIPS])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes a source of each kind, with options after its URL's `?`."""
    if request.param == "demo":
        yield lambda options: open_source(f"demo:?size=320x180&fps=2&{options}", SystemClock())
        return
    if request.param == "shm":
        with ring_name() as name, producing(name):
            yield lambda _: open_source(f"shm:///{name}", SystemClock())
        return
    if request.param == "made clip":
        clip = write_clip(tmp_path / "a clip.mp4", frames=40, fps=2, size_wh=(66, 50))
    else:
        clip = request.getfixturevalue("data_dir") / "video" / request.param
    yield lambda options: open_source(f"file://{clip}?{options}", SystemClock())


def read(source: Source, count: int) -> list[Frame]:
    frames = [source.read() for _ in range(count)]
    return [frame for frame in frames if frame is not None]


def test_the_first_frame_comes_at_the_anchor_and_time_goes_on_from_there(make: Make):
    source = make("pace=max")
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


def test_frames_are_planes_of_one_size_and_stay_valid_after_closing(make: Make):
    source = make("pace=max")
    source.open(0.0)
    frames = read(source, 4)
    copies = [frame.luma.copy() for frame in frames]
    source.close()
    del source
    assert len({frame.resolution_wh for frame in frames}) == 1
    for frame, copy in zip(frames, copies, strict=True):
        np.testing.assert_array_equal(frame.luma, copy)
        assert frame.luma.dtype == frame.chroma_u.dtype == frame.chroma_v.dtype == np.uint8


def test_closing_ends_it_and_may_be_repeated(make: Make):
    source = make("pace=max")
    source.open(0.0)
    assert source.read() is not None
    source.close()
    assert source.read() is None
    source.close()
    assert source.read() is None


def test_a_source_that_was_never_opened_can_be_closed(make: Make):
    make("pace=max").close()


def test_closing_wakes_a_read_that_waits(make: Make):
    source = make("pace=realtime")
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
