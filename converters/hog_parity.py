"""How far the graph's descriptors are from `cv2.HOGDescriptor.compute`."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from converters.hog_graph import (
    CHANNEL_ORDER,
    CHANNELS,
    DESCRIPTOR,
    WINDOW_COLUMNS,
    WINDOW_ROWS,
    append_blocks,
)
from converters.onnx_graph import MAX_IR_VERSION, GraphBuilder
from converters.reference import session


@dataclass(frozen=True, slots=True)
class DescriptorDifference:
    """Absolute differences of descriptor values, which lie between 0 and 1, over all windows of a picture."""

    windows: int
    largest: float
    mean: float

    def __str__(self) -> str:
        return f"at most {self.largest:.1e}, {self.mean:.1e} on average, over {self.windows} windows"


def descriptor_difference(grey: NDArray[np.uint8], margin: int, opset: int) -> DescriptorDifference:
    """Compare the graph's descriptors of every window with OpenCV's.

    Args:
        grey: `[h, w]`, at least a window in size when the margin is added all round.
        margin: Pixels by which the picture's edge is repeated outwards.
        opset: To build the graph in.
    """
    padded = cv2.copyMakeBorder(grey, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    opencv = np.asarray(cv2.HOGDescriptor().compute(padded, winStride=(8, 8))).reshape(-1, DESCRIPTOR)
    difference = np.abs(opencv - _descriptors(grey, margin, opset))
    return DescriptorDifference(len(opencv), float(difference.max()), float(difference.mean()))


def _descriptors(grey: NDArray[np.uint8], margin: int, opset: int) -> NDArray[np.float32]:
    """Descriptors by the graph, `[n, 3780]`, windows row by row, values in OpenCV's order."""
    blocks = _blocks(grey, margin, opset)[CHANNEL_ORDER]
    windows = np.lib.stride_tricks.sliding_window_view(blocks, (CHANNELS, WINDOW_ROWS, WINDOW_COLUMNS))
    descriptors: NDArray[np.float32] = windows[0].transpose(0, 1, 4, 3, 2).reshape(-1, DESCRIPTOR)
    return descriptors


def _blocks(grey: NDArray[np.uint8], margin: int, opset: int) -> NDArray[np.float32]:
    graph = GraphBuilder(prefix="hog", opset=opset)
    blocks = append_blocks(graph, "grey", margin)
    proto = helper.make_graph(
        graph.nodes,
        "hog",
        [helper.make_tensor_value_info("grey", TensorProto.FLOAT, [1, 1, *grey.shape])],
        [helper.make_tensor_value_info(blocks, TensorProto.FLOAT, [1, CHANNELS, None, None])],
        graph.initializers,
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], ir_version=MAX_IR_VERSION)
    outputs = session(model.SerializeToString()).run(None, {"grey": grey[None, None].astype(np.float32)})
    blocks_of_batch: NDArray[np.float32] = np.asarray(outputs[0], dtype=np.float32)
    return blocks_of_batch.reshape(blocks_of_batch.shape[1:])
