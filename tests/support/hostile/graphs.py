"""Graphs that are broken, meaningless or lie about themselves."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.hostile.parts import Model, int64, model_of, scalar
from tests.support.tiny_yolox import tiny_yolox


def _changed(change: Callable[[Model], object]) -> Callable[[], Model]:
    def make() -> Model:
        model = tiny_yolox()
        change(model)
        return model

    return make


def _cycle() -> Model:
    one, other = helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])
    return model_of([one, other, helper.make_node("Relu", ["b"], ["y"])])


def _endless_loop() -> Model:
    """A loop of 2^62 rounds over constants, which constant folding would run."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c_in"], ["c_out"]), helper.make_node("Add", ["v_in", "v_in"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_in", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("c_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_out", TensorProto.FLOAT, []),
        ],
    )
    rounds, true = int64("n", 2**62), numpy_helper.from_array(np.array(True), "t")
    rounds.ClearField("dims")
    loop = helper.make_node("Loop", ["n", "t", "v"], ["r"], body=body)
    return model_of([loop, helper.make_node("Add", ["x", "r"], ["y"])], [rounds, true, scalar("v", 1.0)])


GRAPHS: dict[str, Callable[[], Model | bytes]] = {
    "cycle": _cycle,
    "self_loop": lambda: model_of([helper.make_node("Add", ["x", "y"], ["y"])]),
    "duplicate_output": lambda: model_of([helper.make_node("Relu", ["x"], ["y"])] * 2),
    "duplicate_initializer": lambda: model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], [scalar("w", 1.0), scalar("w", 2.0)]
    ),
    "duplicate_input": _changed(lambda model: model.graph.input.append(model.graph.input[0])),
    "no_inputs": _changed(lambda model: model.graph.ClearField("input")),
    "no_outputs": _changed(lambda model: model.graph.ClearField("output")),
    "no_nodes": _changed(lambda model: model.graph.ClearField("node")),
    "no_weights": _changed(lambda model: model.graph.ClearField("initializer")),
    "no_opset": _changed(lambda model: model.ClearField("opset_import")),
    "opset_0": _changed(lambda model: setattr(model.opset_import[0], "version", 0)),
    "opset_999": _changed(lambda model: setattr(model.opset_import[0], "version", 999)),
    "opset_negative": _changed(lambda model: setattr(model.opset_import[0], "version", -1)),
    "opset_twice": _changed(lambda model: model.opset_import.append(helper.make_opsetid("", 3))),
    "ir_0": _changed(lambda model: setattr(model, "ir_version", 0)),
    "ir_999": _changed(lambda model: setattr(model, "ir_version", 999)),
    "ir_negative": _changed(lambda model: setattr(model, "ir_version", -7)),
    "unknown_domain": _changed(lambda model: setattr(model.graph.node[0], "domain", "com.example.rootkit")),
    "contrib_operator": lambda: model_of([helper.make_node("FusedConv", ["x", "x"], ["y"], domain="com.microsoft")]),
    "python_operator": lambda: model_of([helper.make_node("PyOp", ["x"], ["y"], domain="pyopadd", module="os")]),
    "aten_operator": lambda: model_of([helper.make_node("ATen", ["x"], ["y"], domain="org.pytorch.aten")]),
    "string_input": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 8)),
    "complex_input": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 14)),
    "unknown_type": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 77)),
    "no_type": _changed(lambda model: model.graph.input[0].ClearField("type")),
    "sequence_input": _changed(
        lambda model: model.graph.input[0].type.CopyFrom(
            helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
        )
    ),
    "scalar_input": _changed(lambda model: model.graph.input[0].type.tensor_type.shape.ClearField("dim")),
    "no_shape": _changed(lambda model: model.graph.input[0].type.tensor_type.ClearField("shape")),
    "scalar_output": _changed(lambda model: model.graph.output[0].type.tensor_type.shape.ClearField("dim")),
    "batch_0": _changed(lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 0)),
    "not_a_number": _changed(
        lambda model: model.graph.initializer[1].CopyFrom(
            numpy_helper.from_array(
                np.full_like(numpy_helper.to_array(model.graph.initializer[1]), np.nan), model.graph.initializer[1].name
            )
        )
    ),
    "infinite_weights": _changed(
        lambda model: [
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(tensor), np.inf), tensor.name))
            for tensor in model.graph.initializer
            if tensor.data_type == TensorProto.FLOAT
        ]
    ),
    "terminal_escapes": _changed(lambda model: setattr(model.graph.node[0], "op_type", "\x1b]0;owned\x07\x1b[2J")),
    "newlines_in_names": _changed(lambda model: setattr(model.graph.output[0], "name", "a\nruth-convert: published")),
    "null_in_name": _changed(lambda model: setattr(model.graph.output[0], "name", "a\0b")),
    "broken_utf8": lambda: tiny_yolox().SerializeToString().replace(b"AveragePool", b"Averag\xff\xfe\xfd\xfcl"),
    "reserved_names": _changed(lambda model: setattr(model.graph.node[0], "name", "ruth/score_threshold")),
    "output_is_frames": _changed(lambda model: _rename_everywhere(model, "output", "detections")),
    "input_is_frames": _changed(lambda model: _rename_everywhere(model, "images", "frames")),
    "quantised_garbage": lambda: model_of([helper.make_node("DequantizeLinear", ["x", "x", "x"], ["y"])]),
    "loop_forever": _endless_loop,
}


def _rename_everywhere(model: Model, old: str, new: str) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
