"""Files that claim to be models."""

import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.errors import ModelError
from converters.onnx_file import read_onnx, with_shapes
from converters.onnx_graph import MAX_IR_VERSION
from converters.reference import session
from tests.support.tiny_yolox import saved, tiny_yolox


def test_a_sound_model_is_read_with_its_inputs_and_outputs(tmp_path):
    file = read_onnx(saved(tiny_yolox(), tmp_path / "tiny.onnx"))
    assert [str(tensor) for tensor in (*file.inputs, *file.outputs)] == [
        "images FLOAT [1, 3, 64, 96]",
        "output FLOAT [1, 126, 8]",
    ]
    assert len(file.sha256) == 64


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"this is a text file\n" * 50, "not an ONNX model"),
        (b"\x00" * 4096, "not an ONNX model"),
        (os.urandom(4096), "not an ONNX model"),
        (b"\x08\x07", "holds no graph"),
    ],
    ids=["empty", "text", "zeros", "noise", "no graph"],
)
def test_what_is_no_model_is_refused_with_a_reason(tmp_path, content, reason):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_onnx(path)


def test_an_ir_version_that_a_runtime_is_too_old_for_is_lowered_and_one_that_nobody_knows_refused(tmp_path):
    model = tiny_yolox()
    model.ir_version = onnx.IR_VERSION
    path = saved(model, tmp_path / "new.onnx")
    file = read_onnx(path)
    assert (file.ir_version, file.model.ir_version) == (onnx.IR_VERSION, MAX_IR_VERSION)
    assert file.sha256 == sha256(path.read_bytes()).hexdigest()
    assert session(file.data).get_inputs()[0].name == "images"
    model.ir_version = 99
    with pytest.raises(ModelError, match=r"has IR version 99, newer than any that onnx .* export it with an older one"):
        read_onnx(saved(model, tmp_path / "newer.onnx"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_model_is_refused(tmp_path, share):
    data = tiny_yolox().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=r"model\.onnx: not a"):
        read_onnx(path)


def test_weights_in_another_file_are_refused_and_the_file_is_not_opened(tmp_path):
    model = tiny_yolox()
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="keeps weights in other files"):
        read_onnx(path)


def test_a_model_that_contradicts_itself_is_refused(tmp_path):
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "broken",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 5])],
        [numpy_helper.from_array(np.ones((4, 5), dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        read_onnx(saved(model, tmp_path / "model.onnx"))


def test_an_operator_that_no_runtime_knows_is_refused(tmp_path):
    model = tiny_yolox()
    model.opset_import.append(helper.make_opsetid("made.up", 1))
    model.graph.node[0].domain = "made.up"
    with pytest.raises(ModelError, match=r"not a valid|can't load it"):
        read_onnx(saved(model, tmp_path / "model.onnx"))


def test_a_folder_a_pipe_and_a_missing_path_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), tmp_path / "absent.onnx"):
        with pytest.raises(ModelError, match=r"regular file|can't be read|is a folder"):
            read_onnx(path)


def test_a_model_larger_than_protobuf_allows_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(ModelError, match="2 GiB"):
        read_onnx(path)


def test_shapes_are_inferred_for_the_families_to_read(tmp_path):
    file = read_onnx(saved(tiny_yolox(), tmp_path / "tiny.onnx"))
    assert isinstance(file.model, onnx.ModelProto)
    assert file.model.graph.value_info


def test_weights_that_inference_does_not_see_are_all_there_afterwards(data_dir):
    path = data_dir / "models/yolox_nano_416.onnx"
    plain = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    assert len(plain.graph.value_info) > 300
    assert max(len(tensor.raw_data) for tensor in plain.graph.initializer) > 64 * 1024
    found = with_shapes(onnx.load(path))
    assert found.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)
