"""Clips cut out of real streams: the camera's own pictures, and a browser plays them."""

import datetime as dt
import io
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest

from gateway.domain.clip import Excerpt
from gateway.domain.clock import SystemClock
from gateway.evidence import first_picture_at, remux
from gateway.sources import open_source
from gateway.sources.packets import PacketRing, PacketSource
from tests.support.browser import play
from tests.support.rtsp_server import clip_pipeline, running_rtsp_server

ANCHOR_S = 1000.0
H264_CLIPS = (
    "fall_from_chair_s1.mp4",
    "nofall_sitting_on_bed_s2.mp4",
    "people_one_by_one_50s.mp4",
    "street_people_cars_pexels854100.mp4",
)


def cut(url: str, from_s: float, to_s: float) -> Excerpt:
    """What the ring of a source gives for a stretch of time from its beginning."""
    source, ring, got = open_source(url, SystemClock()), PacketRing(60, 64 << 20), list[Excerpt | None]()
    assert isinstance(source, PacketSource)
    source.keep_packets(ring)
    ring.request(ANCHOR_S + from_s, ANCHOR_S + to_s, got.append)
    source.open(ANCHOR_S)
    while not got and source.read() is not None:
        pass
    source.close()
    ring.settle()
    (excerpt,) = got
    assert excerpt is not None
    return excerpt


def luma(film: bytes | Path) -> list[np.ndarray]:
    """The brightness of every picture."""
    with av.open(io.BytesIO(film) if isinstance(film, bytes) else str(film)) as container:
        return [picture.to_ndarray()[: picture.height] for picture in container.decode(video=0)]


@pytest.mark.parametrize("name", H264_CLIPS)
def test_a_clip_holds_the_cameras_own_pictures_bit_by_bit(data_dir: Path, name: str) -> None:
    path = data_dir / "video" / name
    film = remux(cut(f"file://{path}?pace=max", 1.5, 4.0))

    shown, original = luma(film), luma(path)
    first = next(i for i, picture in enumerate(original) if np.array_equal(picture, shown[0]))
    # The very last picture may refer to one that comes after it.
    assert all(np.array_equal(a, b) for a, b in zip(shown[:-1], original[first:], strict=False))
    with av.open(io.BytesIO(film)) as container:
        assert 2.0 <= (container.duration or 0) / 1e6 <= 5.0
    assert film.find(b"moov") < film.find(b"mdat"), "a player can begin before it has the whole file"


def test_a_clip_is_made_without_any_folder_for_temporary_files(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    excerpt = cut(f"file://{data_dir}/video/{H264_CLIPS[0]}?pace=max", 0.0, 1.0)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert luma(remux(excerpt))


def test_a_clip_says_when_its_first_picture_was_taken_and_other_films_do_not(data_dir: Path, tmp_path: Path) -> None:
    path, film = data_dir / "video" / "people_one_by_one_50s.mp4", tmp_path / "clip.mp4"
    excerpt = cut(f"file://{path}?pace=max", 1.5, 4.0)
    film.write_bytes(remux(excerpt))
    first_s = excerpt.packets[0].time_s
    assert first_picture_at(film) == dt.datetime.fromtimestamp(first_s, dt.UTC)
    assert ANCHOR_S <= first_s <= ANCHOR_S + 1.5
    (tmp_path / "text.mp4").write_text("no film")
    assert [first_picture_at(other) for other in (path, tmp_path / "none.mp4", tmp_path / "text.mp4")] == [None] * 3


def test_a_clip_of_a_network_camera_can_be_decoded_from_its_first_picture_on(data_dir: Path) -> None:
    with running_rtsp_server({"/h264": clip_pipeline(data_dir / "video" / H264_CLIPS[2])}) as server:
        film = remux(cut(server.url("/h264"), 1.0, 3.0))

    pictures = luma(film)
    assert len(pictures) >= 15
    assert pictures[0].shape == (432, 768)


def test_a_browser_plays_a_clip_to_its_end(data_dir: Path, tmp_path: Path) -> None:
    excerpt = cut(f"file://{data_dir}/video/{H264_CLIPS[0]}?pace=max", 1.0, 2.5)

    played = play(remux(excerpt), tmp_path)

    assert played.error == ""
    assert (played.width, played.height) == (640, 480)
    assert played.frames >= len(excerpt.packets) - 3
    assert played.duration == pytest.approx(2.5, abs=0.2)


def test_pictures_that_no_browser_plays_are_refused_by_name(data_dir: Path) -> None:
    with pytest.raises(ValueError, match="sends mjpeg"):
        remux(cut(f"file://{data_dir}/video/cars_overhead_mjpeg.avi?pace=max", 0.0, 1.0))
