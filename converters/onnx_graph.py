"""Appending standard ONNX operators to a graph, one line each."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

MIN_OPSET = 11
"""First opset with NonMaxSuppression (v11 semantics), ScatterND and dynamic Resize."""

MAX_IR_VERSION = 10
"""Newest IR that every runtime of a supported Triton image reads (ONNX Runtime 1.18 and later)."""


@dataclass(slots=True)
class GraphBuilder:
    """Collects nodes and constants; names are unique below `prefix`.

    Nodes read the same in every opset from 11 on as long as the caller keeps to operators whose signature did
    not change since (no Squeeze, Unsqueeze, ReduceSum: use Reshape and MatMul).

    Attributes:
        prefix: Starts the name of every node and tensor made here.
        opset: Of the model that the nodes go into; at least `MIN_OPSET`.
        nodes: In topological order.
        initializers: The constants.
    """

    prefix: str
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    initializers: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])

    def op(self, op_type: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Append a node of one output and return that output's name."""
        return self.ops(op_type, inputs, outputs=1, names=None if out is None else [out], **attributes)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        outputs: int,
        names: Sequence[str] | None = None,
        **attributes: Any,  # noqa: ANN401
    ) -> list[str]:
        """Append a node of several outputs and return their names."""
        stem = f"{self.prefix}/{len(self.nodes)}_{op_type}"
        made = list(names) if names else [f"{stem}:{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=stem, **attributes))
        return made

    def constant(self, value: NDArray[Any] | Sequence[int]) -> str:
        """Add a constant and return its name; a sequence of plain integers becomes INT64."""
        array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.int64)
        return self.named_constant(f"{self.prefix}/constant_{len(self.initializers)}", array)

    def scalar(self, value: float) -> str:
        """Add a FLOAT constant of rank 0 and return its name."""
        return self.constant(np.array(value, dtype=np.float32))

    def named_constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant under a name of its own, for what is to be found again, and return the name."""
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def reshape(self, tensor: str, *shape: int) -> str:
        """Reshape; 0 copies the input's dimension, -1 takes the rest."""
        return self.op("Reshape", tensor, self.constant(shape))

    def reduce_max(self, tensor: str, axis: int) -> str:
        """Take the maximum along one axis, which stays with length 1."""
        if self.opset < 18:
            return self.op("ReduceMax", tensor, axes=[axis], keepdims=1)
        return self.op("ReduceMax", tensor, self.constant([axis]), keepdims=1)

    def slice(self, tensor: str, start: int, end: int, axis: int) -> str:
        """Take `start:end` along one axis."""
        return self.op("Slice", tensor, *(self.constant([value]) for value in (start, end, axis)))


def subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """Return the graphs that a node of control flow (`If`, `Loop`, `Scan`) runs."""
    single = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return single + [graph for attribute in node.attribute for graph in attribute.graphs]
