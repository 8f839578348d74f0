"""The frames that a precision is calibrated and judged on: a clip's or a folder's, as NV12 on the model's canvas."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.errors import ModelError
from converters.pictures import decode_picture, nv12_of, on_canvas, picture_paths
from converters.spec import ModelSpec

MAX_FRAMES = 64
_MAX_CLIP_FRAMES = 100_000
"""About an hour of film: a clip is read to its end once to know how many frames it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """Frames to calibrate and to judge with.

    Attributes:
        frames: NV12 uint8 `[n, H * 3 / 2, W]`.
        name: Of the clip or folder, without its parents.
        sha256: Over the frames.
    """

    frames: NDArray[np.uint8]
    name: str
    sha256: str


def load_calibration(path: Path, spec: ModelSpec) -> CalibrationSet:
    """Read up to `MAX_FRAMES` frames of a clip or pictures of a folder, evenly spread over it.

    Raises:
        ModelError: There is no such thing, or it holds no frame that can be decoded.
    """
    pictures: Iterator[NDArray[np.uint8]]
    if path.is_dir():
        paths = picture_paths(path)
        pictures = (decode_picture(paths[index]) for index in _spread(len(paths)))
    elif path.is_file():
        pictures = _of_clip(path)
    else:
        raise ModelError(f"{path} is neither a clip nor a folder of pictures; give one of what the model will see")
    frames = np.stack([nv12_of(on_canvas(picture, spec)) for picture in pictures])
    return CalibrationSet(frames=frames, name=path.name, sha256=hashlib.sha256(frames.tobytes()).hexdigest())


def _spread(count: int) -> list[int]:
    """Return up to `MAX_FRAMES` indices, ascending, evenly spread over `count` of them."""
    indices: list[int] = np.linspace(0, count - 1, min(count, MAX_FRAMES)).round().astype(int).tolist()
    return indices


def _of_clip(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode a clip twice: to count its frames, since containers lie about that, then to keep the chosen ones."""
    count = sum(1 for _ in _decoded(path, frozenset()))
    if count == 0:
        raise ModelError(f"{path} is not a clip that can be decoded; give one in a common format, such as H.264 in MP4")
    return (picture for picture in _decoded(path, frozenset(_spread(count))) if picture is not None)


def _decoded(path: Path, chosen: frozenset[int]) -> Iterator[NDArray[np.uint8] | None]:
    """Yield each frame of a clip: BGR uint8 `[h, w, 3]` where chosen, else None."""
    clip = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        index = 0
        while index < _MAX_CLIP_FRAMES and clip.grab():
            good, picture = clip.retrieve() if index in chosen else (False, None)
            yield np.asarray(picture, dtype=np.uint8) if good else None
            index += 1
    except cv2.error as error:
        raise ModelError(f"{path} can't be decoded ({error.err}); give another clip") from error
    finally:
        clip.release()
