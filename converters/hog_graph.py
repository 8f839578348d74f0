"""OpenCV's `HOGDescriptor` and its linear SVM as standard ONNX operators.

Histograms of oriented gradients after Dalal and Triggs (CVPR 2005), with the constants of OpenCV 4's
`modules/objdetect/src/hog.cpp` at its defaults: windows of 64 x 128 px, blocks of 16 x 16 px in steps of 8, cells of
8 x 8 px, nine unsigned orientations, square-root gamma, a Gaussian of sigma 4 over each block, L2-Hys. The gradient's
angle is the polynomial of `cv::fastAtan2`, so that descriptors agree to FP32 rounding.
"""

import math

import numpy as np
from numpy.typing import NDArray

from converters.onnx_graph import GraphBuilder

WINDOW_WIDTH = 64
WINDOW_HEIGHT = 128
STRIDE = 8
"""Step from block to block and from window to window, in pixels; also the side of a cell."""

BLOCK = 16
BINS = 9
CELLS = 2
"""Cells of a block along each axis."""

CHANNELS = BINS * CELLS * CELLS
WINDOW_COLUMNS = (WINDOW_WIDTH - BLOCK) // STRIDE + 1
WINDOW_ROWS = (WINDOW_HEIGHT - BLOCK) // STRIDE + 1
DESCRIPTOR = WINDOW_COLUMNS * WINDOW_ROWS * CHANNELS

_ATAN = (0.9997878412794807, -0.3258083974640975, 0.1555786518463281, -0.04432655554752128)
"""Coefficients of x, x^3, x^5, x^7 in `cv::fastAtan2` (modules/core/src/mathfuncs_core.simd.hpp), for radians."""
_DOUBLE_EPSILON = 2.220446049250313e-16
_BINS_PER_RADIAN = BINS / math.pi
_END = 2**31 - 1
_FIRST_NORM_EPSILON = CHANNELS * 0.1
_CLIP = 0.2
_SECOND_NORM_EPSILON = 1e-3

CHANNEL_ORDER: NDArray[np.int64] = np.arange(CHANNELS).reshape(BINS, CELLS, CELLS).transpose(2, 1, 0).ravel()
"""Channel of the graph's blocks (bin, cell row, cell column) at each place of OpenCV's (cell column, cell row, bin)."""


def append_blocks(graph: GraphBuilder, grey: str, margin: int) -> str:
    """Append the normalised block histograms of a picture.

    Args:
        graph: Appended to.
        grey: FLOAT `[b, 1, h, w]`, levels 0 to 255.
        margin: Pixels by which the picture's edge is repeated outwards first.

    Returns:
        FLOAT `[b, 36, (h + 2 * margin - 16) // 8 + 1, (w + 2 * margin - 16) // 8 + 1]`, 0 to 0.2 scaled to unit norm;
        `CHANNEL_ORDER` gives OpenCV's order.
    """
    dx, dy = _gradients(graph, graph.op("Sqrt", grey), margin)
    votes = _votes(graph, _magnitude(graph, dx, dy), _orientation(graph, dx, dy))
    return _normalised(graph, _cells(graph, votes))


def append_svm(graph: GraphBuilder, blocks: str, detector: NDArray[np.float32]) -> str:
    """Append the signed distance of each window from the SVM's plane.

    A single convolution would have one output channel, which ONNX Runtime pads to eight or sixteen. So the first sums
    each of the window's 15 rows along its 7 columns, the second adds the rows up: a tenth of the time.

    Args:
        graph: Appended to.
        blocks: As `append_blocks` returns them.
        detector: `[3781]`: OpenCV's coefficients (blocks column by column, 36 values each), then the bias.

    Returns:
        FLOAT `[b, 1, rows - 14, columns - 6]`; positive is a person.
    """
    opencv = detector[:DESCRIPTOR].reshape(WINDOW_COLUMNS, WINDOW_ROWS, CHANNELS)
    weights = np.empty((WINDOW_ROWS, CHANNELS, 1, WINDOW_COLUMNS), np.float32)
    weights[:, CHANNEL_ORDER, 0, :] = opencv.transpose(1, 2, 0)
    rows = graph.op("Conv", blocks, graph.constant(weights))
    diagonal = np.eye(WINDOW_ROWS, dtype=np.float32).reshape(1, WINDOW_ROWS, WINDOW_ROWS, 1)
    return graph.op("Conv", rows, graph.constant(diagonal), graph.constant(detector[DESCRIPTOR:].astype(np.float32)))


def _gradients(graph: GraphBuilder, grey: str, margin: int) -> tuple[str, str]:
    """Centred differences. Repeating the edge once more than `margin` equals reflecting it there, as OpenCV does."""
    pad = margin + 1
    padded = graph.op("Pad", grey, graph.constant([0, 0, pad, pad, 0, 0, pad, pad]), mode="edge")
    row, column = graph.slice(padded, 1, -1, axis=2), graph.slice(padded, 1, -1, axis=3)
    dx = graph.op("Sub", graph.slice(row, 2, _END, axis=3), graph.slice(row, 0, -2, axis=3))
    dy = graph.op("Sub", graph.slice(column, 2, _END, axis=2), graph.slice(column, 0, -2, axis=2))
    return dx, dy


def _magnitude(graph: GraphBuilder, dx: str, dy: str) -> str:
    return graph.op("Sqrt", graph.op("Add", graph.op("Mul", dx, dx), graph.op("Mul", dy, dy)))


def _orientation(graph: GraphBuilder, dx: str, dy: str) -> str:
    """Unsigned angle in bins, 0 to 9, by `cv::fastAtan2`: the octant's polynomial, then folded out."""
    width, height = graph.op("Abs", dx), graph.op("Abs", dy)
    larger = graph.op("Add", graph.op("Max", width, height), graph.scalar(_DOUBLE_EPSILON))
    ratio = graph.op("Div", graph.op("Min", width, height), larger)
    square = graph.op("Mul", ratio, ratio)
    first, *rest = (graph.scalar(factor * _BINS_PER_RADIAN) for factor in reversed(_ATAN))
    angle = first
    for factor in rest:
        angle = graph.op("Add", graph.op("Mul", angle, square), factor)
    angle = graph.op("Mul", angle, ratio)
    steep = graph.op("Greater", height, width)
    angle = graph.op("Where", steep, graph.op("Sub", graph.scalar(BINS / 2), angle), angle)
    leftwards = graph.op("Less", graph.op("Mul", dx, dy), graph.scalar(0))
    return graph.op("Where", leftwards, graph.op("Sub", graph.scalar(BINS), angle), angle)


def _votes(graph: GraphBuilder, magnitude: str, angle: str) -> str:
    """Share each pixel's magnitude between the two nearest bins: FLOAT `[b, 9, h, w]`.

    A bin's share is `max(0, 1 - d)`, d the distance round the circle of nine bins: `4.5 - |4.5 - |angle - centre||`.
    """
    centres = (np.arange(BINS) + 0.5).astype(np.float32).reshape(1, BINS, 1, 1)
    straight = graph.op("Abs", graph.op("Sub", angle, graph.constant(centres)))
    opposite = graph.op("Abs", graph.op("Sub", straight, graph.scalar(BINS / 2)))
    share = graph.op("HardSigmoid", opposite, alpha=1.0, beta=1 - BINS / 2)
    return graph.op("Mul", share, magnitude)


def _cells(graph: GraphBuilder, votes: str) -> str:
    """Sum votes into the four cells of each block: FLOAT `[b, 36, rows, columns]`, channels as in `CHANNEL_ORDER`.

    OpenCV's weight of a pixel is a Gaussian times a linear interpolation between cells; both are products of a part
    along x and one along y, so two one-dimensional convolutions do what one of 16 x 16 would.
    """
    profile = cell_profile()
    down = np.tile(profile, (BINS, 1)).reshape(BINS * CELLS, 1, BLOCK, 1)
    across = np.tile(profile, (BINS * CELLS, 1)).reshape(CHANNELS, 1, 1, BLOCK)
    columns = graph.op("Conv", votes, graph.constant(down), group=BINS, strides=[STRIDE, 1])
    return graph.op("Conv", columns, graph.constant(across), group=BINS * CELLS, strides=[1, STRIDE])


def cell_profile() -> NDArray[np.float32]:
    """Weight of each of a block's 16 pixels in its first and its second cell along one axis: `[2, 16]`.

    The Gaussian's centre is pixel 8, not the block's middle 7.5: so it stands in OpenCV.
    """
    pixel = np.arange(BLOCK)
    sigma = (BLOCK + BLOCK) / 8
    gaussian = np.exp(-((pixel - BLOCK / 2) ** 2) / (2 * sigma**2))
    position = (pixel + 0.5) / STRIDE - 0.5
    shares = [np.maximum(0, 1 - np.abs(position - cell)) for cell in range(CELLS)]
    profile: NDArray[np.float32] = (gaussian * np.stack(shares)).astype(np.float32)
    return profile


def _normalised(graph: GraphBuilder, histograms: str) -> str:
    """L2-Hys: scale to unit length, clip, scale again."""
    clipped = graph.op("Min", _scaled(graph, histograms, _FIRST_NORM_EPSILON), graph.scalar(_CLIP))
    return _scaled(graph, clipped, _SECOND_NORM_EPSILON)


def _scaled(graph: GraphBuilder, histograms: str, epsilon: float) -> str:
    length = graph.op("ReduceL2", histograms, axes=[1], keepdims=1)
    return graph.op("Div", histograms, graph.op("Add", length, graph.scalar(epsilon)))
