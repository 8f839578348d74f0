"""Clips made for tests."""

import math
from collections.abc import Mapping
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
) -> Path:
    """Write a clip whose frames grow lighter, or are all of one grey (RGB value)."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size_wh
        stream.pix_fmt = pix_fmt
        for k in range(frames):
            value = grey if grey is not None else k * 255 // max(1, frames - 1)
            picture = np.full((size_wh[1], size_wh[0], 3), value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def write_sound(path: Path, seconds: float = 0.5) -> Path:
    """Write a file that holds sound alone."""
    rate = 8000
    samples = [int(8000 * math.sin(k / 5)) for k in range(int(seconds * rate))]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.array([samples], np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
