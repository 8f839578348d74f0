"""NV12 frames to the planes a network eats, as standard ONNX operators.

The conversion is OpenCV's `COLOR_YUV2BGR_NV12`: limited-range BT.601, each chroma sample repeated over its 2 x 2
pixels, results rounded half up and clipped to bytes (fixed-point coefficients of OpenCV's color_yuv.simd.hpp, scaled
by 2^20). FP32 keeps 24 bits of OpenCV's 28, so about one value in 100,000 lands one level away.
"""

import numpy as np
from onnx import TensorProto

from converters.onnx_graph import GraphBuilder
from converters.preprocess import ChannelOrder, Element, Layout, Preprocess

LUMA_GAIN = 1220542 / 2**20
_CHROMA_GAINS_BGR = np.array([[2116026, 0], [-409993, -852492], [0, 1673527]]) / 2**20
"""Rows B, G, R; columns U, V."""

_GREY_WEIGHTS_BGR = (3735, 19235, 9798)
"""Of OpenCV's `COLOR_BGR2GRAY` (color.hpp: BY15, GY15, RY15), scaled by 2^15; their sums of bytes are exact in FP32."""


def luma_of(level: int) -> int:
    """Return the Y (0 to 255) whose grey pixel decodes to `level` (0 to 255) in B, G and R."""
    return round(16 + level / LUMA_GAIN)


def append_planes(graph: GraphBuilder, frames: str, *, height: int, width: int, preprocess: Preprocess) -> str:
    """Append the conversion of `frames` to what a network eats, and return that tensor's name.

    Args:
        graph: Takes the nodes.
        frames: UINT8 `[b, height * 3 / 2, width]`, or the same in FLOAT.
        height: Of the canvas, pixels.
        width: Of the canvas, pixels.
        preprocess: Planes, range, type, layout and size of what comes out: `[b, C, H, W]` or `[b, H, W, C]`.
    """
    levels = _levels(graph, frames, height, width, preprocess.order)
    rows, columns = preprocess.size or (height, width)
    if rows != height:
        levels = _one_less(graph, levels, rows, axis=2)
    if columns != width:
        levels = _one_less(graph, levels, columns, axis=3)
    values = _as_element(graph, _normalised(graph, levels, preprocess), preprocess)
    if preprocess.layout is Layout.NHWC:
        return graph.op("Transpose", values, perm=[0, 2, 3, 1])
    return values


def _levels(graph: GraphBuilder, frames: str, height: int, width: int, order: ChannelOrder) -> str:
    """Append the colour conversion: FLOAT `[b, 1 or 3, height, width]`, whole levels 0 to 255.

    The cast stands first: TensorRT lets bytes be cast and nothing else. The chroma half is one transposed convolution
    of stride 2: it repeats and weighs in a single pass.
    """
    gains = _CHROMA_GAINS_BGR[::-1] if order is ChannelOrder.RGB else _CHROMA_GAINS_BGR
    frames = graph.op("Cast", frames, to=TensorProto.FLOAT)
    luma = graph.slice(frames, 0, height, axis=1)
    luma = graph.op("Relu", graph.op("Sub", graph.reshape(luma, 0, 1, height, width), graph.scalar(16)))
    luma = graph.op("Mul", luma, graph.scalar(LUMA_GAIN))
    chroma = graph.slice(frames, height, height * 3 // 2, axis=1)
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
    return _grey(graph, levels) if order is ChannelOrder.GREY else levels


def _one_less(graph: GraphBuilder, levels: str, size: int, *, axis: int) -> str:
    """Append a linear interpolation from `size + 1` samples to `size` along an axis, pixel centres in the middle.

    Sample i lies at (i + 0.5) (size + 1) / size - 0.5, which is (i + 0.5) / size behind the old sample i.
    """
    near, far = (graph.slice(levels, start, start + size, axis=axis) for start in (0, 1))
    share = (np.arange(size, dtype=np.float32) + 0.5) / size
    between = graph.op("Mul", graph.op("Sub", far, near), graph.constant(share[:, None] if axis == 2 else share))
    return graph.op("Add", near, between)


def _grey(graph: GraphBuilder, levels: str) -> str:
    """Append OpenCV's grey of BGR levels, rounded half up."""
    weights = np.array(_GREY_WEIGHTS_BGR, dtype=np.float32).reshape(1, 3, 1, 1)
    weighed = graph.op("Conv", levels, graph.constant(weights), kernel_shape=[1, 1])
    rounded = graph.op("Add", graph.op("Mul", weighed, graph.scalar(2.0**-15)), graph.scalar(0.5))
    return graph.op("Floor", rounded)


def _normalised(graph: GraphBuilder, levels: str, preprocess: Preprocess) -> str:
    """Append mean and gain where they change anything."""
    if any(preprocess.mean):
        levels = graph.op("Sub", levels, graph.constant(_per_plane(preprocess.mean)))
    if any(gain != 1 for gain in preprocess.gain):
        levels = graph.op("Mul", levels, graph.constant(_per_plane(preprocess.gain)))
    return levels


def _as_element(graph: GraphBuilder, values: str, preprocess: Preprocess) -> str:
    """Append the change of type where the network takes something else than FLOAT."""
    if preprocess.element is Element.FLOAT:
        return values
    if preprocess.element is Element.FLOAT16:
        return graph.op("Cast", values, to=TensorProto.FLOAT16)
    zero_type = np.uint8 if preprocess.element is Element.UINT8 else np.int8
    zero_point = graph.constant(np.array(preprocess.zero_point, dtype=zero_type))
    return graph.op("QuantizeLinear", values, graph.scalar(preprocess.scale), zero_point)


def _per_plane(values: tuple[float, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32).reshape(1, -1, 1, 1)
