"""NV12 frames to the planes a network eats, as standard ONNX operators.

The conversion is OpenCV's `COLOR_YUV2BGR_NV12`: limited-range BT.601, each chroma sample repeated over its 2 x 2
pixels, results rounded half up and clipped to bytes (fixed-point coefficients of OpenCV's color_yuv.simd.hpp, scaled
by 2^20). FP32 keeps 24 bits of OpenCV's 28, so about one value in 100,000 lands one level away.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from onnx import TensorProto

from converters.onnx_graph import GraphBuilder

LUMA_GAIN = 1220542 / 2**20
_CHROMA_GAINS_BGR = np.array([[2116026, 0], [-409993, -852492], [0, 1673527]]) / 2**20
"""Rows B, G, R; columns U, V."""


class ChannelOrder(StrEnum):
    """Order of the colour planes a network was trained on."""

    BGR = "bgr"
    RGB = "rgb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """What a network expects in place of bytes: planes `[b, 3, H, W]` of `(level - mean) * gain`.

    Attributes:
        order: Order of the planes.
        mean: Subtracted from every level, in levels (0 to 255), in plane order.
        gain: Multiplied in afterwards, in plane order.
    """

    order: ChannelOrder
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)


def luma_of(level: int) -> int:
    """Return the Y (0 to 255) whose grey pixel decodes to `level` (0 to 255) in B, G and R."""
    return round(16 + level / LUMA_GAIN)


def append_planes(graph: GraphBuilder, frames: str, *, height: int, width: int, preprocess: Preprocess) -> str:
    """Append the conversion of `frames` (UINT8 `[b, height * 3 / 2, width]`) and return FLOAT `[b, 3, height, width]`.

    The chroma half is one transposed convolution of stride 2: it repeats and weighs in a single pass.
    """
    gains = _CHROMA_GAINS_BGR if preprocess.order is ChannelOrder.BGR else _CHROMA_GAINS_BGR[::-1]
    luma = graph.op("Cast", graph.slice(frames, 0, height, axis=1), to=TensorProto.FLOAT)
    luma = graph.op("Relu", graph.op("Sub", graph.reshape(luma, 0, 1, height, width), graph.scalar(16)))
    luma = graph.op("Mul", luma, graph.scalar(LUMA_GAIN))
    chroma = graph.op("Cast", graph.slice(frames, height, height * 3 // 2, axis=1), to=TensorProto.FLOAT)
    chroma = graph.reshape(chroma, 0, height // 2, width // 2, 2)
    chroma = graph.op("Transpose", chroma, perm=[0, 3, 1, 2])
    kernel = np.broadcast_to(gains.T[:, :, None, None], (2, 3, 2, 2)).astype(np.float32)
    bias = (0.5 - 128 * gains.sum(axis=1)).astype(np.float32)
    colour = graph.op(
        "ConvTranspose",
        chroma,
        graph.constant(kernel),
        graph.constant(bias),
        kernel_shape=[2, 2],
        strides=[2, 2],
    )
    levels = graph.op("Floor", graph.op("Add", luma, colour))
    levels = graph.op("Clip", levels, graph.scalar(0), graph.scalar(255))
    return _normalised(graph, levels, preprocess)


def _normalised(graph: GraphBuilder, levels: str, preprocess: Preprocess) -> str:
    """Append mean and gain where they change anything."""
    if any(preprocess.mean):
        levels = graph.op("Sub", levels, graph.constant(_per_plane(preprocess.mean)))
    if any(gain != 1 for gain in preprocess.gain):
        levels = graph.op("Mul", levels, graph.constant(_per_plane(preprocess.gain)))
    return levels


def _per_plane(values: tuple[float, float, float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32).reshape(1, 3, 1, 1)
