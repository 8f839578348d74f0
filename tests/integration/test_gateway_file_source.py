"""Clips as they come: whole, looped, damaged, and things that are no clips."""

import os
import resource
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.errors import InvalidInputError, SourceError, SourceFormatError, SourceUnavailableError
from gateway.sampling import FpsGate
from gateway.sources import open_source
from gateway.sources.file import FileSource
from gateway.sources.media import MediaSettings
from gateway.sources.urls import Pace
from tests.support.clips import turn_track, write_clip, write_sound


def a_source(path: Path, loop: bool = False) -> FileSource:
    return FileSource(path, loop=loop, pace=Pace.MAX, clock=SystemClock())


def a_opened(path: Path) -> FileSource:
    source = a_source(path)
    source.open(0.0)
    return source


def count_frames(source: FileSource, limit: int = 10_000) -> int:
    source.open(0.0)
    try:
        return next(n for n in range(limit) if source.read() is None)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("clip", "frames"),
    [("people_one_by_one_50s.mp4", 500), ("nofall_sitting_on_bed_s2.mp4", 109), ("cars_overhead_mjpeg.avi", 200)],
)
def test_every_frame_of_a_clip_is_given(data_dir: Path, clip: str, frames: int):
    assert count_frames(a_source(data_dir / "video" / clip)) == frames


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.mkv", "clip.m4v"])
def test_a_loop_goes_on_in_frame_time_even_where_the_container_cannot_be_sought_in(tmp_path: Path, name: str):
    source = a_source(write_clip(tmp_path / name, frames=5, fps=10), loop=True)
    source.open(100.0)
    frames = [source.read() for _ in range(13)]
    source.close()
    assert [frame.index for frame in frames if frame] == list(range(13))
    steps = np.diff([frame.time_s for frame in frames if frame])
    assert np.all(steps > 0)
    assert np.allclose(steps, steps[0])
    assert frames[0] is not None
    assert frames[5] is not None
    np.testing.assert_array_equal(frames[0].luma, frames[5].luma)


def test_full_range_pictures_become_limited_range(tmp_path: Path):
    for grey, luma in ((255, 235), (0, 16)):
        clip = write_clip(tmp_path / f"{grey}.avi", codec="mjpeg", pix_fmt="yuvj420p", grey=grey)
        source = a_source(clip)
        source.open(0.0)
        frame = source.read()
        source.close()
        assert frame is not None
        assert abs(int(np.median(frame.luma)) - luma) <= 1


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "yuv422p"), ("ffv1", "gray"), ("ffv1", "bgr0")])
def test_other_pixel_formats_become_planes(tmp_path: Path, codec: str, pix_fmt: str):
    source = a_source(write_clip(tmp_path / "clip.mkv", codec=codec, pix_fmt=pix_fmt, grey=128, size_wh=(33, 17)))
    source.open(0.0)
    frame = source.read()
    source.close()
    assert frame is not None
    assert frame.resolution_wh == (33, 17)
    assert frame.chroma_u.shape == (9, 17)
    assert abs(int(np.median(frame.luma)) - 126) <= 2


@pytest.mark.parametrize("name", ["clip.mp4", "clip.txt", "clip.avi", "clip.jpg"])
@pytest.mark.parametrize("content", [b"", b"this is a text\nof some lines\n" * 50, b"\0" * 5000, b"RIFF\0\0\0\0AVI "])
def test_a_file_that_is_no_clip_is_refused_by_name(tmp_path: Path, name: str, content: bytes):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceFormatError, match=name):
        count_frames(a_source(path))


def test_a_list_that_names_other_files_is_no_clip(tmp_path: Path):
    write_clip(tmp_path / "clip.mp4", frames=3)
    for name, content in (
        ("list.mp4", "ffconcat version 1.0\nfile clip.mp4\n"),
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.mp4\n#EXT-X-ENDLIST\n"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(SourceFormatError, match=name):
            count_frames(a_source(tmp_path / name))


def test_sound_alone_is_refused(tmp_path: Path):
    with pytest.raises(SourceFormatError, match=r"sound\.wav has no picture stream"):
        count_frames(a_source(write_sound(tmp_path / "sound.wav")))


def test_a_missing_file_may_come_later(tmp_path: Path):
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(SourceUnavailableError, match="there is no file"):
            count_frames(a_source(path))


def test_a_path_that_cannot_be_looked_at_may_be_mended(tmp_path: Path):
    with pytest.raises(SourceUnavailableError, match="can't be looked at: File name too long"):
        count_frames(a_source(tmp_path / f"{'a' * 300}.mp4"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_may_not_be_entered_is_told_so(tmp_path: Path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    with pytest.raises(SourceUnavailableError, match="can't be looked at: Permission denied"):
        count_frames(a_source(locked / "clip.mp4"))


def test_a_path_that_leads_nowhere_lies_in_no_media_folder(tmp_path: Path):
    circle = tmp_path / "circle.mp4"
    circle.symlink_to(circle)
    for path in (circle, Path(f"{tmp_path}/a\0.mp4")):
        with pytest.raises(InvalidInputError, match="leads to no file"):
            MediaSettings(folder=tmp_path).check_file(path)


def test_closing_does_not_wait_for_a_read_that_hangs_and_who_reads_closes_the_clip(tmp_path: Path):
    source = a_opened(write_clip(tmp_path / "clip.mp4"))
    with source._busy:  # as a read has it all the while
        source.close()
    assert source.read() is None
    source.close()
    assert source._container is None


def test_a_clip_cut_off_in_the_middle_gives_what_is_there_or_is_refused(data_dir: Path, tmp_path: Path):
    for name, least in (("cars_overhead_mjpeg.avi", 90), ("people_one_by_one_50s.mp4", None)):
        whole = (data_dir / "video" / name).read_bytes()
        cut = tmp_path / name
        cut.write_bytes(whole[: len(whole) // 2])
        if least is None:
            with pytest.raises(SourceFormatError, match=name):
                count_frames(a_source(cut))
        else:
            assert count_frames(a_source(cut)) >= least


@pytest.mark.parametrize("name", ["cars_overhead_mjpeg.avi", "nofall_sitting_on_bed_s2.mp4"])
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_in_the_middle_cost_some_frames_and_never_more_than_the_clip(
    data_dir: Path, tmp_path: Path, name: str, seed: int
):
    content = np.frombuffer((data_dir / "video" / name).read_bytes(), np.uint8).copy()
    noise = np.random.default_rng(seed)
    middle = noise.integers(len(content) // 4, len(content) * 3 // 4, 10 ** (1 + seed % 3))
    content[middle] ^= noise.integers(1, 256, len(middle), np.uint8)
    damaged = tmp_path / name
    damaged.write_bytes(content.tobytes())
    try:
        assert count_frames(a_source(damaged)) <= 2000
    except SourceError as error:
        assert name in str(error)  # noqa: PT017 - either outcome is right


def test_broken_packets_cost_their_own_frames_alone(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.avi", frames=30, codec="mjpeg", pix_fmt="yuvj420p")
    content = bytearray(clip.read_bytes())
    pictures = [i for i in range(len(content)) if content[i : i + 4] == b"\xff\xd8\xff\xe0"]
    for start in pictures[10:13]:
        content[start : start + 300] = bytes(300)
    clip.write_bytes(content)
    assert 27 <= count_frames(a_source(clip)) <= 30


def test_a_title_in_another_encoding_does_not_matter(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.avi", frames=3, metadata={"title": "TITLETITLE"})
    clip.write_bytes(clip.read_bytes().replace(b"TITLETITLE", b"K\xfcche\xff\xfe\xe4\xf6\xfc"))
    assert count_frames(a_source(clip)) == 3


def test_a_name_that_looks_like_a_protocol_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_clip(tmp_path / "clip.mp4", frames=3).rename(tmp_path / "http:12.mp4")
    monkeypatch.chdir(tmp_path)
    assert count_frames(a_source(Path("http:12.mp4"))) == 3


def test_spaces_and_percent_signs_of_a_url_are_decoded(tmp_path: Path):
    write_clip(tmp_path / "clip.mp4", frames=2).rename(tmp_path / "a 100% clip.mp4")
    source = open_source(f"file://{tmp_path}/a%20100%25%20clip.mp4?pace=max", SystemClock())
    source.open(0.0)
    assert source.read() is not None
    source.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///a.mp4?loop=yes", "loop is 0 or 1"),
        ("file:///a.mp4?speed=2", "loop=0|1"),
        ("file:///a.mp4?pace=slow", "realtime or max"),
        ("file:///a.mp4?loop=1&loop=0", "given twice"),
        ("file://videos/a.mp4", "three slashes"),
        ("file:a.mp4", "absolute path"),
        ("/videos/a.mp4", "begins with its scheme"),
        ("gopher://camera", "demo:, file:"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_what_would_do(url: str, said: str):
    with pytest.raises(InvalidInputError) as refused:
        open_source(url, SystemClock())
    assert said in str(refused.value)


def test_every_error_of_ffmpeg_is_one_that_the_source_maps():
    found = [error for error in vars(av.error).values() if isinstance(error, type) and issubclass(error, Exception)]
    foreign = [e for e in found if e.__module__.startswith("av") and not issubclass(e, av.error.FFmpegError)]
    assert foreign == []


def read_through(clip: Path, fps: float) -> tuple[float, float]:
    """Frames per second of frame time that a gate admits, and the CPU seconds spent."""
    source, gate, started = a_opened(clip), FpsGate(fps), time.thread_time()
    times = [frame.time_s for frame in iter(lambda: source.read(gate), None)]
    source.close()
    return (len(times) - 1) / (times[-1] - times[0]), time.thread_time() - started


@pytest.mark.parametrize("fps", [0.5, 1, 2, 5])
@pytest.mark.parametrize("clip", ["street_people_cars_pexels854100.mp4", "people_one_by_one_50s.mp4"])
def test_a_low_rate_is_kept_whatever_is_left_undecoded(data_dir: Path, clip: str, fps: float):
    assert read_through(data_dir / "video" / clip, fps)[0] == pytest.approx(fps, rel=0.1)


@pytest.mark.parametrize("clip", ["people_one_by_one_50s.mp4", "cars_overhead_mjpeg.avi"])
def test_one_frame_a_second_costs_less_than_half_of_all_frames(data_dir: Path, clip: str):
    """Measured: a third for H.264 with a key picture a second, a ninth for MJPEG."""
    assert read_through(data_dir / "video" / clip, 1)[1] < read_through(data_dir / "video" / clip, 60)[1] / 2


def test_after_key_pictures_alone_a_grown_rate_gives_whole_pictures(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.mp4", frames=200, fps=20, codec="libx264", options={"g": "10"})
    whole = {frame.pts_s: frame for frame in iter(a_opened(clip).read, None)}
    source, gate = a_opened(clip), FpsGate(1)
    frames = [source.read(gate) for _ in range(6)]
    gate.fps = 20
    frames += [source.read(gate) for _ in range(40)]
    source.close()
    for frame in frames:
        assert frame is not None
        np.testing.assert_array_equal(frame.luma, whole[frame.pts_s].luma)


@pytest.mark.parametrize(("degrees", "size_wh"), [(90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_a_rotation_that_the_container_states_is_carried_out(tmp_path: Path, degrees: int, size_wh: tuple[int, int]):
    clip = write_clip(tmp_path / "clip.mp4", frames=2, bright_corner=True)
    turn_track(clip, degrees)
    frame = a_opened(clip).read()
    assert frame is not None
    assert frame.resolution_wh == size_wh
    corner = {90: (-1, 0), 180: (-1, -1), 270: (0, -1)}[degrees]
    assert frame.luma[corner] > 200
    assert np.median(frame.luma) < 40


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p10le", "yuv444p", "gray", "yuvj422p", "yuvj444p"])
def test_ten_bits_and_other_samplings_keep_their_grey(tmp_path: Path, pix_fmt: str):
    codec = "mjpeg" if pix_fmt.startswith("yuvj") else "ffv1"
    frame = a_opened(write_clip(tmp_path / "clip.mkv", codec=codec, pix_fmt=pix_fmt, grey=128, size_wh=(34, 18))).read()
    assert frame is not None
    assert (frame.resolution_wh, frame.luma.dtype) == ((34, 18), np.uint8)
    assert abs(int(np.median(frame.luma)) - 126) <= 2


def test_a_picture_beyond_8k_is_refused_before_memory_is_taken(tmp_path: Path):
    picture = np.zeros((16384, 16384), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    del picture
    clip = write_clip(tmp_path / "clip.avi", frames=3, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(clip)) as container, av.open(str(tmp_path / "huge.avi"), "w") as huge:
        stream = huge.add_stream_from_template(container.streams.video[0])
        for k in range(60):
            packet = av.Packet(jpeg)
            packet.pts = packet.dts = k
            packet.stream = stream
            huge.mux(packet)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SourceFormatError, match=r"huge\.avi"):
        count_frames(a_source(tmp_path / "huge.avi"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
