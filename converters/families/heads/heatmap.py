"""Heat maps and short-range offsets of one person (PoseNet): one row, whose box bounds the sure keypoints.

Papandreou et al., "Towards Accurate Multi-person Pose Estimation in the Wild" (arXiv 1701.01779), and tfjs-models'
`decodeSinglePose`: a keypoint lies at its heat map's best cell, times the stride, plus the offset there; the pose's
score is the mean of its keypoints' scores.
"""

from dataclasses import dataclass

import numpy as np

from converters.families.heads.head import append_person, one_person
from converters.fuse import network_tensor
from converters.nms import Candidates
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapHead:
    """A head of two outputs.

    Attributes:
        heatmap: Name of the output FLOAT `[b, rows, columns, keypoints]`, or `[b, keypoints, rows, columns]`.
        offsets: Name of the output of twice the channels: y of each keypoint, then x, in pixels.
        channels_last: Which of the two layouts.
        logits: Whether the heat map lacks its Sigmoid.
        rows: Cells down.
        columns: Cells across.
        keypoints: Their number.
        stride: Pixels between cells.
    """

    heatmap: str
    offsets: str
    channels_last: bool
    logits: bool
    rows: int
    columns: int
    keypoints: int
    stride: int

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; box and keypoints in canvas pixels."""
        heat = self._planes(graph, self.heatmap, self.keypoints)
        if self.logits:
            heat = graph.op("Sigmoid", heat)
        place = self._places(graph, graph.op("ArgMax", heat, axis=2, keepdims=1))
        x, y = (graph.reshape(graph.slice(place, axis, axis + 1, axis=1), 0, self.keypoints, 1) for axis in (1, 0))
        return append_person(graph, x, y, graph.reduce_max(heat, axis=2), keypoints=self.keypoints)

    def _planes(self, graph: GraphBuilder, output: str, channels: int) -> str:
        """Return an output as `[b, channels, cells]`."""
        tensor = network_tensor(output)
        if self.channels_last:
            tensor = graph.op("Transpose", tensor, perm=[0, 3, 1, 2])
        return graph.reshape(tensor, 0, channels, self.rows * self.columns)

    def _places(self, graph: GraphBuilder, cell: str) -> str:
        """Return y, then x, in pixels, `[b, 2, keypoints, 1]`, of the cells INT64 `[b, keypoints, 1]`."""
        cells = self.rows * self.columns
        grid = np.stack(np.divmod(np.arange(cells), self.columns)).astype(np.float32) * self.stride
        offsets = graph.reshape(self._planes(graph, self.offsets, 2 * self.keypoints), 0, 2, self.keypoints, cells)
        table = graph.op("Add", offsets, graph.constant(grid.reshape(1, 2, 1, cells)))
        index = graph.op("Expand", graph.reshape(cell, 0, 1, self.keypoints, 1), graph.constant([1, 2, 1, 1]))
        return graph.op("GatherElements", table, index, axis=3)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        heat, offsets = outputs[self.heatmap].astype(np.float64), outputs[self.offsets].astype(np.float64)
        if not self.channels_last:
            heat, offsets = heat.transpose(1, 2, 0), offsets.transpose(1, 2, 0)
        if self.logits:
            heat = 1 / (1 + np.exp(-heat))
        found: list[tuple[float, float, float]] = []
        for index in range(self.keypoints):
            row, column = np.unravel_index(heat[:, :, index].argmax(), heat.shape[:2])
            y, x = offsets[row, column, [index, index + self.keypoints]]
            found.append((column * self.stride + x, row * self.stride + y, heat[row, column, index]))
        return one_person(np.array(found))
