"""A detector that sees what is painted: the brightness of a picture says which object is in it."""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.support.contract_models import HEIGHT, ROWS, WIDTH
from tests.support.triton_models import model_of, publish

LABELS = tuple(f"object{number}" for number in range(50))
_DARK, _STEP = 16, 4  # limited-range luma of an empty picture, and of one object more

_CONFIG = f"""
max_batch_size: 8
instance_group {{ kind: KIND_CPU count: 1 }}
input {{ name: "frames" data_type: TYPE_UINT8 dims: [{ROWS}, {WIDTH}] }}
output {{ name: "detections" data_type: TYPE_FP32 dims: [1, 6] }}
output {{ name: "num_detections" data_type: TYPE_INT32 dims: [1] }}
parameters {{ key: "ruth.contract" value {{ string_value: "1" }} }}
parameters {{ key: "ruth.task" value {{ string_value: "detect" }} }}
parameters {{ key: "ruth.letterbox" value {{ string_value: "center" }} }}
parameters {{ key: "ruth.labels" value {{ string_value: {json.dumps(json.dumps(LABELS))} }} }}
"""


def picture_of(label: str | None) -> bytes:
    """NV12 of `WIDTH` by `HEIGHT` pixels, grey all over, in which the model sees one object of a class, or nothing."""
    brightness = _DARK if label is None else _DARK + _STEP * (LABELS.index(label) + 1)
    return bytes([brightness]) * (WIDTH * HEIGHT) + bytes([128]) * (WIDTH * HEIGHT // 2)


def publish_scripted(repository: Path, name: str) -> None:
    """Publish it: UINT8 `frames [n, H*3/2, W]` → one row of the class that the brightness says, none if dark."""
    nodes = [
        helper.make_node("Gather", ["frames", "middle_row"], ["row"], axis=1),
        helper.make_node("Cast", ["row"], ["luma"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["luma"], ["mean"], axes=[1, 2], keepdims=1),
        helper.make_node("Sub", ["mean", "dark"], ["above"]),
        helper.make_node("Div", ["above", "step"], ["steps"]),
        helper.make_node("Round", ["steps"], ["object"]),
        helper.make_node("Mul", ["object", "class_column"], ["class"]),
        helper.make_node("Add", ["class", "box"], ["detections"]),
        helper.make_node("Min", ["object", "one"], ["seen"]),
        helper.make_node("Squeeze", ["seen", "last_axis"], ["count"]),
        helper.make_node("Cast", ["count"], ["num_detections"], to=TensorProto.INT32),
    ]
    box = [WIDTH * 0.25, HEIGHT * 0.25, WIDTH * 0.75, HEIGHT * 0.75, 0.9, -1.0]
    constants = [
        helper.make_tensor("middle_row", TensorProto.INT64, [1], [HEIGHT // 2]),
        helper.make_tensor("dark", TensorProto.FLOAT, [1], [_DARK]),
        helper.make_tensor("step", TensorProto.FLOAT, [1], [_STEP]),
        helper.make_tensor("class_column", TensorProto.FLOAT, [1, 1, 6], np.eye(6)[5]),
        helper.make_tensor("box", TensorProto.FLOAT, [1, 1, 6], box),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("last_axis", TensorProto.INT64, [1], [2]),
    ]
    inputs = [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", ROWS, WIDTH])]
    outputs = [
        helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 1, 6]),
        helper.make_tensor_value_info("num_detections", TensorProto.INT32, ["n", 1]),
    ]
    publish(repository, name, model_of(nodes, inputs, outputs, constants), _CONFIG)
