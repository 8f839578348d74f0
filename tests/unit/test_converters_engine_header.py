"""TensorRT engines given in place of a model."""

import json

import pytest

from converters.cli import main as convert
from converters.engine_header import MAX_HEADER, header_of

FIELDS = {"description": "Ultralytics YOLO11n model", "task": "detect", "stride": 32, "names": {"0": "person"}}


def wrapped(fields, body=b"ftrt\x00\x00"):
    text = json.dumps(fields).encode()
    return len(text).to_bytes(4, "little") + text + body


def test_an_engine_of_ultralytics_is_named_by_inspect(tmp_path, capsys):
    (tmp_path / "yolo11n.engine").write_bytes(wrapped(FIELDS))
    assert convert(["inspect", str(tmp_path / "yolo11n.engine")]) == 0
    out = capsys.readouterr().out
    assert "TensorRT engine" in out
    assert "YOLO11n" in out
    assert convert(["inspect", str(tmp_path / "yolo11n.engine"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engine"]["task"] == "detect"


@pytest.mark.parametrize("data", [wrapped(FIELDS), b"ftrt\x00\x00\x00"])
def test_an_engine_is_refused_with_what_to_do(tmp_path, capsys, data):
    (tmp_path / "model.engine").write_bytes(data)
    assert convert(["onnx", str(tmp_path / "model.engine"), "--name", "x", "--repository", str(tmp_path)]) == 1
    assert "format=onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ft",
        wrapped({"names": {}}),
        wrapped([1, 2]),
        wrapped(FIELDS)[:40],
        (10_000).to_bytes(4, "little") + b"[" * 10_000,
        (9_000).to_bytes(4, "little") + b'{"a":' * 1800,
        (MAX_HEADER + 1).to_bytes(4, "little") + b"{" * (MAX_HEADER + 1),
        b"\xff" * 64,
    ],
)
def test_other_bytes_are_no_engine(data):
    assert header_of(data) is None
