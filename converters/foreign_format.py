"""Files that people take for ONNX models, told by their first bytes, each with the way to one."""

import json
from pathlib import Path

_SHOWN_BYTES = 512
_TF2ONNX = "python -m tf2onnx.convert {} --output model.onnx --opset 17 (package tf2onnx) makes an ONNX file of it"
_MAGIC = (
    (b"version https://git-lfs", "a Git LFS pointer in place of the model: `git lfs pull` fetches the file itself"),
    (b"\x89HDF\r\n\x1a\n", f"an HDF5 file, as Keras writes: {_TF2ONNX.format('--keras MODEL.h5')}"),
    (b"7767517\n", "a network of ncnn, which ONNX is not made of: export the original network as ONNX"),
    (b"[net]", "a network of Darknet, which ONNX is not made of here: export the original network as ONNX"),
    (b"\x1f\x8b", "a compressed file: unpack it, then give the model in it"),
    (b"7z\xbc\xaf\x27\x1c", "an archive: unpack it, then give the model in it"),
    (b"\x93NUMPY", "an array of NumPy: it holds numbers, but no network"),
)
_PAGES = (b"<!doctype html", b"<html")
_KERAS_PARTS = (b"config.json", b"model.weights.h5")
_WEIGHTS_ALONE = (
    "a file of weights without a network (safetensors): build the network and load them in a function of yours, then "
    "give that: ruth-convert onnx my_model:make --example 1x3x640x640 --name NAME"
)


def foreign_format(data: bytes) -> str | None:
    """Return what the bytes are and what would do, None where they are nothing known."""
    told = next((said for magic, said in _MAGIC if data.startswith(magic)), None)
    return told or _page(data) or _of_tensorflow(data) or _archive(data) or _weights_alone(data)


def folder_refusal(folder: Path) -> str:
    """Return what to say behind "is a folder" of one that is given for a model; empty where nothing is known of it."""
    if (folder / "saved_model.pb").is_file():
        return f", a SavedModel of TensorFlow: {_TF2ONNX.format(f'--saved-model {folder}')}"
    return ""


def _page(data: bytes) -> str | None:
    start = data[:_SHOWN_BYTES].lstrip().lower()
    if start.startswith(_PAGES):
        return "a web page, perhaps one that asks for a log-in or says that there is nothing: fetch the file itself"
    if start.startswith(b"<?xml") and b"<net" in start:
        return "a network of OpenVINO, which ONNX is not made of: export the original network as ONNX"
    return None


def _of_tensorflow(data: bytes) -> str | None:
    if data[4:8] == b"TFL3":
        return f"a model of TensorFlow Lite: {_TF2ONNX.format('--tflite MODEL.tflite')}"
    return None


def _archive(data: bytes) -> str | None:
    if not data.startswith(b"PK\x03\x04"):
        return None
    if all(part in data for part in _KERAS_PARTS):
        return (
            "a model of Keras: in the environment that it was made in, keras.models.load_model(FILE).export("
            "'model.onnx', format='onnx') makes an ONNX file of it"
        )
    return "an archive: unpack it, then give the model in it"


def _weights_alone(data: bytes) -> str | None:
    """Tell a file of safetensors: eight bytes of length, then so much JSON."""
    length = int.from_bytes(data[:8], "little")
    if not (2 <= length <= min(len(data) - 8, 100 << 20) and data[8:9] == b"{"):
        return None
    try:
        return _WEIGHTS_ALONE if isinstance(json.loads(data[8 : 8 + length]), dict) else None
    except (ValueError, RecursionError):
        return None
