"""Files of other formats are named, with the way to ONNX; ONNX itself is none of them."""

import io
import json
import zipfile

import numpy as np
import pytest

from converters.errors import ModelError
from converters.foreign_format import foreign_format
from converters.onnx_file import read_onnx
from tests.support.tiny_yolox import tiny_yolox


def zipped(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return file.getvalue()


def array():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3660092\n", "git lfs pull"),
        (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "a web page"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(64), "tf2onnx.convert --tflite"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "tf2onnx.convert --keras"),
        (b"<?xml version='1.0'?>\n<net name='yolox' version='11'>", "OpenVINO"),
        (b"7767517\n142 168\nInput in0 0 1 in0\n", "ncnn"),
        (b"[net]\nbatch=1\n", "Darknet"),
        (zipped("metadata.json", "config.json", "model.weights.h5"), "a model of Keras"),
        (zipped("export/model.onnx"), "unpack it"),
        (b"\x1f\x8b\x08" + bytes(64), "unpack it"),
        (array(), "an array of NumPy"),
        (len(HEADER).to_bytes(8, "little") + HEADER + bytes(4), "safetensors"),
    ],
)
def test_a_file_of_another_format_is_named_with_what_would_do(tmp_path, data, named):
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx is a") as refused:
        read_onnx(path)
    assert named in str(refused.value)


def test_a_folder_of_tensorflow_is_named_too(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    with pytest.raises(ModelError, match=r"tf2onnx\.convert --saved-model"):
        read_onnx(tmp_path)


@pytest.mark.parametrize("data", [b"", b"\x08", tiny_yolox().SerializeToString(), bytes(4096), b"{}" * 99])
def test_what_is_none_of_them_is_left_to_the_parser(data):
    assert foreign_format(data) is None
