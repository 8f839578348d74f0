"""SimCC (RTMPose): each keypoint is a peak along x and one along y, in fractions of a pixel.

Li et al., "SimCC" (arXiv 2107.03332), and mmpose's `get_simcc_maximum`: a coordinate is the best bin over the split
ratio, a keypoint's score the lower of its two peaks (mmpose up to 1.0 and MMDeploy; here cut to 0 to 1), the pose's
score their mean.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from converters.families.heads.head import append_person, one_person
from converters.fuse import network_tensor
from converters.nms import Candidates
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays, HeadRows


@dataclass(frozen=True, slots=True, kw_only=True)
class SimccHead:
    """A head of two outputs, for one person.

    Attributes:
        x: Name of the output FLOAT `[b, keypoints, width * split]`.
        y: Name of the output FLOAT `[b, keypoints, height * split]`.
        keypoints: Their number.
        split: Bins of a pixel.
    """

    x: str
    y: str
    keypoints: int
    split: float

    def append(self, graph: GraphBuilder) -> Candidates:
        """Append the decoding; box and keypoints in canvas pixels."""
        places: list[str] = []
        peaks: list[str] = []
        for output in (self.x, self.y):
            bins = network_tensor(output)
            best = graph.op("Cast", graph.op("ArgMax", bins, axis=2, keepdims=1), to=TensorProto.FLOAT)
            places.append(graph.op("Mul", best, graph.scalar(1 / self.split)))
            peaks.append(graph.reduce_max(bins, axis=2))
        score = graph.op("Clip", graph.op("Min", *peaks), graph.scalar(0), graph.scalar(1))
        return append_person(graph, places[0], places[1], score, keypoints=self.keypoints)

    def decode(self, outputs: Arrays) -> HeadRows:
        """Decode one picture by hand, for the reference."""
        x, y = outputs[self.x], outputs[self.y]
        score = np.clip(np.minimum(x.max(axis=1), y.max(axis=1)), 0, 1)
        return one_person(np.stack([x.argmax(axis=1) / self.split, y.argmax(axis=1) / self.split, score], axis=1))
