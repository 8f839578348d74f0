"""What a network and its export are both asked: pictures where it takes them, random numbers elsewhere."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

FREE_AXIS = 64
"""Length that an axis without a fixed one gets; the first, the batch, gets one."""


def samples_of(model: onnx.ModelProto, pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[Any]]]:
    """Yield an array for each input: of every picture (BGR uint8 `[h, w, 3]`), levels 0 to 255 first, then 0 to 1."""
    for number, picture in enumerate(pictures):
        for gain in (1.0, 1 / 255):
            yield [_sample(value, picture, gain, number) for value in model.graph.input]


def _sample(value: onnx.ValueInfoProto, picture: NDArray[np.uint8], gain: float, seed: int) -> NDArray[Any]:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = [dim.dim_value or (FREE_AXIS if index else 1) for index, dim in enumerate(tensor.shape.dim)]
    match shape:
        case [batch, 3, rows, columns]:
            planes = _scaled(picture, rows, columns).transpose(2, 0, 1)
        case [batch, rows, columns, 3]:
            planes = _scaled(picture, rows, columns)
        case [batch, 1, rows, columns]:
            planes = _scaled(picture, rows, columns)[None, ..., 1]
        case _:
            numbers = np.random.default_rng(seed).random(shape)
            return (numbers if dtype.kind == "f" else numbers * 2).astype(dtype)
    levels = planes * gain if dtype.kind == "f" else planes.astype(np.float32) - 128 * (dtype == np.int8)
    return np.repeat(levels[None], batch, axis=0).astype(dtype)


def _scaled(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Return it as RGB of that size."""
    resized = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), dtype=np.uint8)
