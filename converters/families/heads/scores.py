"""One score for each class of the whole picture: a probability already, or still to go through a Softmax."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.fuse import network_tensor
from converters.nms import ClassScores
from converters.onnx_graph import GraphBuilder
from converters.reference import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassHead:
    """A head of one output.

    Attributes:
        output: Name of the output FLOAT `[b, classes]`, `[b, classes, 1, 1]` or `[b, 1, 1, classes]`.
        classes: Number of classes.
        logits: Whether its Softmax is missing.
    """

    output: str
    classes: int
    logits: bool

    def append(self, graph: GraphBuilder) -> ClassScores:
        """Append what the output lacks."""
        scores = graph.reshape(network_tensor(self.output), -1, self.classes)
        return ClassScores(scores=graph.op("Softmax", scores, axis=1) if self.logits else scores)

    def decode(self, outputs: Arrays) -> NDArray[np.float32]:
        """Return the scores `[C]` of one picture by hand."""
        values = outputs[self.output].astype(np.float64).ravel()
        if self.logits:
            values = np.exp(values - values.max())
            values /= values.sum()
        return values.astype(np.float32)
