"""Clips made for tests."""

import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path,
    frames: int = 10,
    fps: int = 10,
    size_wh: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    grey: int | None = None,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    bright_corner: bool = False,
) -> Path:
    """Write a clip whose frames grow lighter, are all of one grey (RGB value), or are black but for their top left."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size_wh
        stream.pix_fmt = pix_fmt
        stream.options = dict(options or {})
        for k in range(frames):
            value = grey if grey is not None else k * 255 // max(1, frames - 1)
            picture = np.full((size_wh[1], size_wh[0], 3), 0 if bright_corner else value, np.uint8)
            if bright_corner:
                picture[:8, :8] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def turn_track(clip: Path, degrees_anticlockwise: int) -> None:
    """Write a rotation into the track header of an MP4, as phones do (ISO/IEC 14496-12, 8.3.2)."""
    content = clip.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    header = content.index(b"tkhd")
    at = content.index(upright, header)
    cos, sin = {90: (0, -1), 180: (-1, 0), 270: (0, 1)}[degrees_anticlockwise]
    turned = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    clip.write_bytes(content[:at] + turned + content[at + len(turned) :])


def write_sound(path: Path, seconds: float = 0.5, codec: str = "pcm_s16le") -> Path:
    """Write a file that holds sound alone."""
    rate = 16000
    samples = [int(8000 * math.sin(k / 5)) for k in range(int(seconds * rate))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.array([samples], np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_segments(
    folder: Path, count: int = 5, fps: int = 10, size_wh: tuple[int, int] = (160, 120), first_s: int = 0
) -> Path:
    """Write MPEG-TS segments of a second each; all of one is of one grey, lighter than the one before.

    Their presentation times count from `first_s` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {"segment_time": "1", "segment_format": "mpegts"}
    with av.open(str(folder / "%03d.ts"), "w", format="segment", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options={"g": str(fps), "preset": "ultrafast"})
        stream.width, stream.height = size_wh
        stream.pix_fmt = "yuv420p"
        for k in range(count * fps):
            picture = np.full((size_wh[1], size_wh[0], 3), 40 * (1 + k // fps), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first_s * fps + k, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder


def drop_key_pictures(whole: Path, keyless: Path) -> None:
    """Write the pictures of a clip but for those that can be decoded alone."""
    with av.open(str(whole)) as source, av.open(str(keyless), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size and not packet.is_keyframe:
                packet.stream = stream
                target.mux(packet)
