"""The pictures a conversion is checked with, the user's or rendered ones, on the model's canvas as BGR and as NV12."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from converters.errors import ModelError
from converters.reference import bgr_of
from converters.spec import Letterbox, ModelSpec

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MAX_PICTURES = 16
_SYNTHETIC = 6

_KR, _KB = 0.299, 0.114
_GREY = np.array([_KB, 1 - _KR - _KB, _KR])
_CHROMA = np.stack(
    [
        (np.array([1, 0, 0]) - _GREY) * 112 / 255 / (1 - _KB),
        (np.array([0, 0, 1]) - _GREY) * 112 / 255 / (1 - _KR),
    ]
)
"""Limited-range BT.601 (ITU-R BT.601-7, 2.5.3): U and V over B, G, R, offset 128."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSet:
    """Pictures of any size, and how to name them in a manifest.

    Attributes:
        pictures: BGR uint8 `[h, w, 3]` each.
        names: One per picture.
        sha256: Over names and contents.
        synthetic: Whether they were rendered for want of real ones.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    names: tuple[str, ...]
    sha256: str
    synthetic: bool


def load_pictures(folder: Path) -> PictureSet:
    """Read the first `MAX_PICTURES` pictures of a folder, by name.

    Raises:
        ModelError: The folder holds no picture, or one that can't be decoded.
    """
    paths = picture_paths(folder)[:MAX_PICTURES]
    pictures = [decode_picture(path) for path in paths]
    return _picture_set(pictures, [path.name for path in paths], synthetic=False)


def picture_paths(folder: Path) -> list[Path]:
    """Return the pictures of a folder, by name.

    Raises:
        ModelError: It holds none, or is no folder.
    """
    if not folder.is_dir():
        raise ModelError(f"there is no folder {folder}; give one that holds pictures")
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ModelError(f"{folder} holds no picture ({', '.join(SUFFIXES)}); give a folder that does")
    return paths


def render_pictures(seed: int = 1) -> PictureSet:
    """Render gradients, shapes and noise: enough to exercise every part of a graph, not to find objects."""
    generator = np.random.default_rng(seed)
    sizes = [(480, 640), (640, 480), (360, 640), (720, 405), (416, 416), (300, 800)]
    pictures = [_rendered(generator, *size) for size in sizes[:_SYNTHETIC]]
    return _picture_set(pictures, [f"synthetic_{seed}_{index}" for index in range(len(pictures))], synthetic=True)


def on_canvas(picture: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """Scale a BGR picture `[h, w, 3]` onto the model's canvas `[height, width, 3]`, placed and padded by `spec`."""
    if spec.letterbox is Letterbox.STRETCH:
        return _resized(picture, spec.height, spec.width)
    rows, columns = picture.shape[:2]
    scale = min(spec.height / rows, spec.width / columns)
    inner = _resized(picture, max(1, round(rows * scale)), max(1, round(columns * scale)))
    pad_frame = np.full((3, 2), 128, dtype=np.uint8)
    pad_frame[:2] = spec.pad_luma
    canvas = np.empty((spec.height, spec.width, 3), dtype=np.uint8)
    canvas[:] = bgr_of(pad_frame)[0, 0]
    centred = spec.letterbox is Letterbox.CENTER
    top = (spec.height - inner.shape[0]) // 2 if centred else 0
    left = (spec.width - inner.shape[1]) // 2 if centred else 0
    canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return canvas


def nv12_of(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert a BGR canvas `[H, W, 3]` of even size to NV12 `[H * 3 / 2, W]`; a chroma sample averages 2 x 2 pixels."""
    height, width = canvas.shape[:2]
    luma = np.asarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2YUV_I420), dtype=np.uint8)[:height]
    half = cv2.resize(canvas, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    chroma = cv2.transform(half, np.column_stack([_CHROMA, [128, 128]]))
    return np.concatenate([luma, np.asarray(chroma, dtype=np.uint8).reshape(height // 2, width)])


def _picture_set(pictures: Sequence[NDArray[np.uint8]], names: Sequence[str], *, synthetic: bool) -> PictureSet:
    digest = hashlib.sha256()
    for name, picture in zip(names, pictures, strict=True):
        digest.update(f"{name} {picture.shape}\n".encode() + picture.tobytes())
    return PictureSet(pictures=tuple(pictures), names=tuple(names), sha256=digest.hexdigest(), synthetic=synthetic)


def decode_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture as BGR uint8 `[h, w, 3]`.

    Raises:
        ModelError: It is not there or can't be decoded.
    """
    try:
        picture = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); give the folder that holds it") from error
    except cv2.error as error:
        raise ModelError(f"{path} can't be decoded ({error.err}); take it out of the folder") from error
    if picture is None:
        raise ModelError(f"{path} is not a picture that can be decoded; take it out of the folder")
    return np.asarray(picture, dtype=np.uint8)


def _resized(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _rendered(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return a coloured gradient with upright ellipses and boxes on it, softened and grained."""
    corners = generator.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    picture = cv2.resize(corners, (columns, rows), interpolation=cv2.INTER_LINEAR)
    for _ in range(12):
        centre = generator.integers(0, (columns, rows)).tolist()
        axes = generator.integers(8, (columns // 8, rows // 3)).tolist()
        colour = generator.integers(0, 256, 3).tolist()
        cv2.ellipse(picture, centre, axes, 0, 0, 360, colour, -1)
        head = (centre[0], centre[1] - axes[1])
        cv2.circle(picture, head, axes[0], generator.integers(0, 256, 3).tolist(), -1)
        cv2.rectangle(picture, (*generator.integers(0, (columns, rows)).tolist(), *axes), colour, 2)
    grain = generator.normal(0, 6, picture.shape)
    softened = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), dtype=np.float64)
    return np.clip(softened + grain, 0, 255).astype(np.uint8)
