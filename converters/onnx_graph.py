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
    not change since (no Squeeze, Unsqueeze, ReduceSum, ReduceMax: use Reshape and TopK).

    Attributes:
        prefix: Starts the name of every node and tensor made here.
        nodes: In topological order.
        initializers: The constants.
    """

    prefix: str
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

    def constant(self, value: NDArray[Any] | Sequence[int] | int) -> str:
        """Add a constant and return its name; plain integers become INT64."""
        array = np.asarray(value, dtype=None if isinstance(value, np.ndarray) else np.int64)
        name = f"{self.prefix}/constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def reshape(self, tensor: str, *shape: int) -> str:
        """Reshape; 0 copies the input's dimension, -1 takes the rest."""
        return self.op("Reshape", tensor, self.constant(shape))

    def slice(self, tensor: str, start: int, end: int, axis: int) -> str:
        """Take `start:end` along one axis."""
        return self.op("Slice", tensor, *(self.constant([value]) for value in (start, end, axis)))
