"""FP16 as a cast graph: chosen operators compute in FLOAT16, with Cast nodes where they meet the others.

One graph so serves ONNX Runtime and strongly typed TensorRT, which takes the types from the graph.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, defs, helper, numpy_helper, shape_inference

from converters.fuse import opset_of
from converters.precision_scope import names_read

HALF_SUFFIX = "/fp16"
"""Ends the name of the FLOAT16 form of a tensor."""
_LARGEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto, chosen: Collection[str]) -> onnx.ModelProto:
    """Return a copy in which the chosen nodes compute in FLOAT16; inputs and outputs keep their types.

    A chosen node that the standard has no FLOAT16 form of, or whose weights don't fit into it, stays in FP32.
    """
    lowered = onnx.ModelProto()
    lowered.CopyFrom(model)
    _Pass(lowered, opset_of(model)).run(set(chosen))
    onnx.checker.check_model(lowered)
    return lowered


def half_rounding(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what stands for weights in FLOAT16; themselves where they don't fit into it."""
    fits = float(np.abs(weights).max(initial=0)) <= _LARGEST
    return weights.astype(np.float16).astype(np.float32) if fits else weights


@dataclass(slots=True)
class _Pass:
    """One walk through a graph in topological order.

    Attributes:
        model: Is changed.
        opset: Its standard operators' version.
        floats: Tensors of type FLOAT.
        weights: Initializers by name.
        half: FLOAT16 name of each tensor that has one by now.
        only_half: Tensors that lowered nodes gave, and that don't exist in FP32 yet.
        nodes: The new nodes, in order.
        constants: The new initializers.
    """

    model: onnx.ModelProto
    opset: int
    floats: set[str] = field(default_factory=set[str])
    weights: dict[str, onnx.TensorProto] = field(default_factory=dict[str, onnx.TensorProto])
    half: dict[str, str] = field(default_factory=dict[str, str])
    only_half: set[str] = field(default_factory=set[str])
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])

    def run(self, chosen: set[str]) -> None:
        """Rewrite the model's graph."""
        graph = self.model.graph
        self.floats = _float_tensors(self.model)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            places = self._half_places(node) if node.name in chosen else None
            if places is None:
                for name in names_read(node):
                    self._in_full(name)
                self.nodes.append(node)
            else:
                self._lower(node, *places)
        for value in graph.output:
            self._in_full(value.name)
        del graph.node[:]
        graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in names_read(node)}
        kept = [tensor for tensor in (*graph.initializer, *self.constants) if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)
        del graph.value_info[:]

    def _half_places(self, node: onnx.NodeProto) -> tuple[list[int], list[int]] | None:
        """Return which inputs and outputs become FLOAT16; None where the node has to stay as it is."""
        if node.domain not in ("", "ai.onnx"):
            return None
        schema = defs.get_schema(node.op_type, self.opset)
        inputs = [
            index
            for index, name in enumerate(node.input)
            if name in self.floats and _takes_half(schema.inputs, index) and self._fits(name)
        ]
        outputs = [index for index, name in enumerate(node.output) if name in self.floats]
        fixed = [index for index in outputs if not _takes_half(schema.outputs, index)]
        mixed = [
            index
            for index, name in enumerate(node.input)
            if name in self.floats and index not in inputs and _takes_half(schema.inputs, index)
        ]
        typed_by_attribute = node.op_type in ("Cast", "Constant", "ConstantOfShape", "EyeLike", "RandomNormalLike")
        return None if not inputs or fixed or mixed or typed_by_attribute else (inputs, outputs)

    def _fits(self, name: str) -> bool:
        tensor = self.weights.get(name)
        return tensor is None or float(np.abs(numpy_helper.to_array(tensor)).max(initial=0)) <= _LARGEST

    def _lower(self, node: onnx.NodeProto, inputs: list[int], outputs: list[int]) -> None:
        for index, name in enumerate(node.input):
            if index in inputs:
                node.input[index] = self._in_half(name)
            elif name:
                self._in_full(name)
        for index in outputs:
            name = node.output[index]
            node.output[index] = self.half[name] = name + HALF_SUFFIX
            self.only_half.add(name)
        self.nodes.append(node)

    def _in_half(self, name: str) -> str:
        """Return the FLOAT16 form of a tensor, made at its first use."""
        if name not in self.half:
            self.half[name] = name + HALF_SUFFIX
            if name in self.weights:
                values = numpy_helper.to_array(self.weights[name]).astype(np.float16)
                self.constants.append(numpy_helper.from_array(values, self.half[name]))
            else:
                self._cast(name, self.half[name], TensorProto.FLOAT16)
        return self.half[name]

    def _in_full(self, name: str) -> None:
        """Make the FP32 form of a tensor that only exists in FLOAT16."""
        if name in self.only_half:
            self.only_half.discard(name)
            self._cast(self.half[name], name, TensorProto.FLOAT)

    def _cast(self, source: str, target: str, dtype: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=dtype))


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    """Return the names of all tensors of type FLOAT."""
    inferred = shape_inference.infer_shapes(model).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    names = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {tensor.name for tensor in inferred.initializer if tensor.data_type == TensorProto.FLOAT}


def _takes_half(formals: "Sequence[defs.OpSchema.FormalParameter]", index: int) -> bool:
    """Tell whether an input or output may be FLOAT16; the last one stands for all that a variadic operator has."""
    return "tensor(float16)" in formals[min(index, len(formals) - 1)].types
