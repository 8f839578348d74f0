"""Tiny models that keep the gateway's contract: they see nothing, fail every run, or tell what they were sent."""

from pathlib import Path

from onnx import TensorProto, helper

from tests.support.triton_models import model_of, publish

WIDTH, HEIGHT = 64, 48
ROWS = HEIGHT * 3 // 2

_CONFIG = f"""
max_batch_size: 4
instance_group {{ kind: KIND_CPU count: 1 }}
input {{ name: "frames" data_type: TYPE_UINT8 dims: [{ROWS}, {WIDTH}] }}
output {{ name: "detections" data_type: TYPE_FP32 dims: [1, 6] }}
output {{ name: "num_detections" data_type: TYPE_INT32 dims: [1] }}
parameters {{ key: "ruth.contract" value {{ string_value: "1" }} }}
parameters {{ key: "ruth.task" value {{ string_value: "detect" }} }}
parameters {{ key: "ruth.letterbox" value {{ string_value: "center" }} }}
parameters {{ key: "ruth.labels" value {{ string_value: "[\\"person\\"]" }} }}
"""


_ONE = helper.make_tensor("value", TensorProto.INT32, [1], [1])
_TENSORS = (
    [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["n", ROWS, WIDTH])],
    [
        helper.make_tensor_value_info("detections", TensorProto.FLOAT, ["n", 1, 6]),
        helper.make_tensor_value_info("num_detections", TensorProto.INT32, ["n", 1]),
    ],
)


def publish_blind(repository: Path, name: str) -> None:
    """A detector that finds nothing in anything, at next to no cost."""
    _publish(repository, name, offset=0)


def publish_failing(repository: Path, name: str) -> None:
    """A detector that loads, and fails every run."""
    _publish(repository, name, offset=100)


def publish_telling(repository: Path, name: str, config: str = "") -> None:
    """A detector whose one row is the least and the greatest byte of what it was sent, three times over."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["bytes"], ["least"], axes=[1, 2], keepdims=1),
        helper.make_node("ReduceMax", ["bytes"], ["most"], axes=[1, 2], keepdims=1),
        helper.make_node("Concat", ["least", "most"] * 3, ["detections"], axis=2),
        helper.make_node("Shape", ["frames"], ["length"], start=0, end=1),
        helper.make_node("Concat", ["length", "one"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["num_detections"], value=_ONE),
    ]
    model = model_of(nodes, *_TENSORS, [helper.make_tensor("one", TensorProto.INT64, [1], [1])])
    publish(repository, name, model, _CONFIG + config)


def publish_heavy(repository: Path, name: str) -> None:
    """A detector that finds nothing, at two thousand million operations a frame: tens of milliseconds of a core."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMin", ["pixels"], ["darkest"], axes=[1, 2], keepdims=1),
        helper.make_node("Expand", ["darkest", "large"], ["matrix"]),
        helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
        helper.make_node("ReduceMin", ["product"], ["least"], axes=[1, 2], keepdims=1),
        helper.make_node("Mul", ["least", "zero_row"], ["detections"]),
        helper.make_node("Squeeze", ["least", "last"], ["column"]),
        helper.make_node("Mul", ["column", "zero"], ["none"]),
        helper.make_node("Cast", ["none"], ["num_detections"], to=TensorProto.INT32),
    ]
    constants = [
        helper.make_tensor("large", TensorProto.INT64, [3], [1, 1024, 1024]),
        helper.make_tensor("zero_row", TensorProto.FLOAT, [1, 1, 6], [0.0] * 6),
        helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
        helper.make_tensor("last", TensorProto.INT64, [1], [2]),
    ]
    publish(repository, name, model_of(nodes, *_TENSORS, constants), _CONFIG)


def _publish(repository: Path, name: str, offset: int) -> None:
    """A row of a table of four, by an index from the pixels: one that isn't there fails the run."""
    nodes = [
        helper.make_node("Cast", ["frames"], ["pixels"], to=TensorProto.INT64),
        helper.make_node("ReduceMin", ["pixels"], ["darkest"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["darkest", "zero"], ["none"]),
        helper.make_node("Add", ["none", "offset"], ["index"]),
        helper.make_node("Gather", ["table", "index"], ["detections"]),
        helper.make_node("Unsqueeze", ["none", "last"], ["column"]),
        helper.make_node("Cast", ["column"], ["num_detections"], to=TensorProto.INT32),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("offset", TensorProto.INT64, [1], [offset]),
        helper.make_tensor("table", TensorProto.FLOAT, [4, 1, 6], [0.0] * 24),
    ]
    publish(repository, name, model_of(nodes, *_TENSORS, constants), _CONFIG)
