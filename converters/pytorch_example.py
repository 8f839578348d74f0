"""`--example`: what a PyTorch network is traced with, given as a shape, arrays or a picture."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import ModelError, UsageError
from converters.pictures import SUFFIXES, decode_picture

_SHAPE = re.compile(r"(\d+(?:x\d+)*)(?::(\w+))?")
_DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
_MAX_ELEMENTS = 2**26


def read_example(text: str) -> list[NDArray[Any]]:
    """Return the arguments of a network's `forward`.

    Args:
        text: `1x3x640x640[:float32]` (random numbers 0 to 1, integers 0 or 1), a `.npy` or `.npz` file (an argument for
            each of its arrays, in their order), or a picture (RGB, float32 0 to 1, `[1, 3, h, w]`).

    Raises:
        UsageError: It is none of these.
        ModelError: The file can't be read.
    """
    path = Path(text)
    if path.suffix in (".npy", ".npz"):
        return _read_arrays(path)
    if path.suffix.lower() in SUFFIXES:
        rgb = decode_picture(path)[..., ::-1].astype(np.float32) / 255
        return [np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])]
    found = _SHAPE.fullmatch(text)
    dtype = found and (found[2] or "float32")
    if found is None or dtype not in _DTYPES:
        raise UsageError(
            f"--example {text} is no shape such as 1x3x640x640 or 1x3x640x640:uint8 (types: {', '.join(_DTYPES)}), "
            "no .npy or .npz file and no picture"
        )
    shape = [int(size) for size in found[1].split("x")]
    if not 0 < np.prod(shape, dtype=float) <= _MAX_ELEMENTS:
        raise UsageError(f"--example {text} is of 1 to {_MAX_ELEMENTS} elements, each axis at least 1 long")
    numbers = np.random.default_rng(1).random(shape)
    return [(numbers if dtype.startswith("float") else numbers * 2).astype(dtype)]


def _read_arrays(path: Path) -> list[NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"--example {path} can't be read: {error}; write it with numpy.save or numpy.savez") from error
    if not arrays or not all(array.ndim and array.size and array.dtype.name in _DTYPES for array in arrays):
        raise ModelError(f"--example {path} holds no array of numbers with at least one axis")
    return arrays
