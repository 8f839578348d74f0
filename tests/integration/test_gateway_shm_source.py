"""The ring in shared memory: frames whole or none, and what becomes of a producer that misbehaves."""

import itertools
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.errors import InvalidInputError, SourceFormatError, SourceStalledError, SourceUnavailableError
from gateway.sampling import FpsGate
from gateway.sources import open_source
from gateway.sources.shared_ring import SharedRing
from gateway.sources.shm import ShmSource
from tests.support.ring_producer import Ring, grey_nv12, producing, ring_name

GOOD_HEADER = (b"RUTHNV12", 1, 4, 64, 48, 64)


@pytest.fixture
def name() -> Iterator[str]:
    with ring_name() as unused:
        yield unused


def opened(name: str, options: str = "") -> ShmSource:
    source = open_source(f"shm:///{name}{options}", SystemClock())
    assert isinstance(source, ShmSource)
    source.open(0.0)
    return source


def test_each_frame_is_the_newest_and_its_time_is_its_producers(name: str):
    ring = Ring(name, 64, 48)
    ring.write(grey_nv12(64, 48, 9))
    source = opened(name)
    values, times = [], []
    for value, at_ms in ((1, 1000), (2, 1040), (3, 1080)):
        ring.write(grey_nv12(64, 48, 255), at_ms * 1_000_000 - 5)  # passed over
        ring.write(grey_nv12(64, 48, value), at_ms * 1_000_000)
        frame = source.read()
        assert frame is not None
        assert (frame.luma == value).all()
        assert (frame.chroma_u == value).all()
        assert frame.resolution_wh == (64, 48)
        values.append(frame.index)
        times.append(round(frame.time_s, 6))
    assert values == [0, 1, 2]
    assert times == [0.0, 0.04, 0.08]


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_a_producer_whose_clock_is_set_moves_frame_time_no_further_than_ours(name: str, step_s: int):
    ring = Ring(name, 64, 48)
    source = opened(name)
    times = []
    for at_s in (10_000, 10_000 + step_s, 10_001 + step_s):
        ring.write(grey_nv12(64, 48, 1), at_s * 1_000_000_000)
        frame = source.read()
        assert frame is not None
        times.append(frame.time_s)
    source.close()
    assert times == sorted(times)
    assert times[-1] < 6


def test_planes_are_told_apart_also_where_rows_are_padded(name: str):
    width, height, stride = 6, 4, 16
    rows = np.full((height * 3 // 2, stride), 255, np.uint8)
    rows[:height, :width] = np.arange(height * width).reshape(height, width)
    rows[height:, 0:width:2], rows[height:, 1:width:2] = 100, 200
    ring = Ring(name, stride, height)
    os.pwrite(ring.file, struct.pack("<2I", width, height), 16)
    number = ring.write(rows.tobytes())
    planes = SharedRing(name).read(number)
    assert planes is not None
    np.testing.assert_array_equal(planes[0], np.arange(24).reshape(4, 6))
    assert [(plane.shape, set(plane.flat)) for plane in planes[1:]] == [((2, 3), {100}), ((2, 3), {200})]


def test_what_the_gate_does_not_admit_is_passed_over_(name: str):
    with producing(name, fps=100):
        source, gate = opened(name), FpsGate(10)
        frames = [source.read(gate) for _ in range(4)]
        source.close()
    given = [(frame.index, frame.time_s) for frame in frames if frame]
    assert len(given) == 4
    for (before, before_s), (after, after_s) in itertools.pairwise(given):
        assert after > before
        assert after_s - before_s > 0.06


FLOOD = """
import sys; sys.path.insert(0, {root!r})
from tests.support.ring_producer import Ring, grey_nv12
ring = Ring({name!r}, 640, 360, slots=2)
pictures = [grey_nv12(640, 360, value) for value in range(256)]
print(flush=True)
while True:
    ring.write(pictures[ring.number % 256])
"""


def test_no_torn_frame_is_ever_given_however_fast_the_producer_writes(name: str):
    script = FLOOD.format(root=str(Path(__file__).parents[2]), name=name)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        producer.stdout.readline()
        ring = SharedRing(name)
        given = 0
        try:
            while given < 100:
                planes = ring.read(ring.newest() - 1)  # the one that is overwritten next
                if planes is None:
                    continue
                given += 1
                luma, chroma_u, _ = planes
                assert luma.min() == luma.max() == chroma_u[0, 0]
        finally:
            producer.kill()


def test_a_frame_that_is_overwritten_while_it_is_copied_is_thrown_away(name: str, monkeypatch: pytest.MonkeyPatch):
    producer, preadv = Ring(name, 64, 48, slots=2), os.preadv
    number, ring = producer.write(grey_nv12(64, 48, 1)), SharedRing(name)

    def overtaken(*arguments: Any) -> int:
        copied = preadv(*arguments)
        for _ in range(2):
            producer.write(grey_nv12(64, 48, 2))
        return copied

    monkeypatch.setattr(os, "preadv", overtaken)
    assert ring.read(number) is None
    monkeypatch.undo()
    newest = ring.read(ring.newest())
    assert newest is not None
    assert (newest[0] == 2).all()


def test_a_producer_that_starts_anew_is_found_again_and_its_old_frames_are_not(name: str):
    first = Ring(name, 64, 48)
    source = opened(name)
    first.write(grey_nv12(64, 48, 1))
    assert source.read() is not None
    second = Ring(name, 32, 32)
    with pytest.raises(SourceUnavailableError, match="made its ring anew"):
        source.read()
    source.close()
    again = opened(name)
    second.write(grey_nv12(32, 32, 2))
    frame = again.read()
    assert frame is not None
    assert frame.resolution_wh == (32, 32)


def test_a_producer_that_is_gone_or_hangs_is_told_apart(name: str):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    hanging = opened(name, "?timeout=1")
    with pytest.raises(SourceStalledError, match="no frame for 1 s"):
        hanging.read()
    (Path("/dev/shm") / name).unlink()
    with pytest.raises(SourceUnavailableError, match="has gone"):
        hanging.read()
    with pytest.raises(SourceUnavailableError, match="producer isn't running"):
        opened(name)


def test_a_ring_that_is_cut_off_under_its_reader_ends_nothing_but_the_source(name: str):
    ring = Ring(name, 640, 360)
    source = opened(name)
    ring.write(grey_nv12(640, 360, 1))
    os.truncate(f"/dev/shm/{name}", 4096)
    with pytest.raises(SourceUnavailableError, match=r"short|shrunk"):
        source.read()


def test_closing_while_the_producer_writes_is_safe_and_wakes_the_reader(name: str):
    with producing(name, fps=500):
        for _ in range(5):
            source, ended = opened(name), threading.Event()

            def read_to_the_end(source: ShmSource = source, ended: threading.Event = ended) -> None:
                while source.read() is not None:
                    pass
                ended.set()

            threading.Thread(target=read_to_the_end, daemon=True).start()
            source.close()
            assert ended.wait(5)


@pytest.mark.parametrize(
    ("header", "error", "said"),
    [
        ((b"RIFFxxxx", *GOOD_HEADER[1:]), SourceFormatError, "no ring of NV12"),
        ((b"RUTHNV12", 2, *GOOD_HEADER[2:]), SourceFormatError, "no ring of NV12"),
        ((b"RUTHNV12", 1, 1, 64, 48, 64), SourceFormatError, "1 slots"),
        ((b"RUTHNV12", 1, 4, 63, 48, 64), SourceFormatError, "sides are even"),
        ((b"RUTHNV12", 1, 4, 64, 0, 64), SourceFormatError, "sides are even"),
        ((b"RUTHNV12", 1, 4, 64, 48, 62), SourceFormatError, "rows of 62 bytes"),
        ((b"RUTHNV12", 1, 4, 64, 48, 0xFFFFFFFF), SourceFormatError, "rows of 4294967295 bytes"),
        ((b"RUTHNV12", 1, 1024, 64, 48, 64), SourceFormatError, "its header promises"),
        ((bytes(8), 0, 0, 0, 0, 0), SourceUnavailableError, "still being made"),
    ],
)
def test_a_header_that_cannot_be_is_refused(name: str, header: tuple[object, ...], error: type[Exception], said: str):
    ring = Ring(name, 64, 48)
    os.pwrite(ring.file, struct.pack("<8s5I", *header), 0)
    with pytest.raises(error, match=said):
        opened(name)


def test_a_header_that_changes_in_place_ends_the_connection(name: str):
    ring = Ring(name, 64, 48)
    source = opened(name)
    os.pwrite(ring.file, struct.pack("<I", 32), 16)
    with pytest.raises(SourceUnavailableError, match="changed its layout"):
        source.read()


def test_only_a_plain_file_is_opened(name: str, tmp_path: Path):
    path = Path("/dev/shm") / name
    path.symlink_to("/etc/passwd")
    with pytest.raises(SourceFormatError, match="no plain file"):
        opened(name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceFormatError, match="no plain file"):
        opened(name)
    path.unlink()
    path.touch()
    with pytest.raises(SourceUnavailableError, match="too short"):
        opened(name)


@pytest.mark.parametrize(
    "url",
    ["shm:///", "shm:///../etc/passwd", "shm:///a/b", "shm:///.hidden", "shm://ring", "shm:///a%2Fb", "shm:///a%00b"]
    + [f"shm:///a?{option}" for option in ("timeout=0", "timeout=soon", "timeout=nan", "loop=1")],
)
def test_a_url_that_could_lead_elsewhere_is_refused(url: str):
    with pytest.raises(InvalidInputError):
        open_source(url, SystemClock())
