"""Weights that lie beside a model file, as PyTorch's exporter writes them, put into it before anything else reads it.

Only a file of the model's own folder is opened, by its plain name: no path, no link of either kind, no device. The
tensors may not ask for more bytes than the files hold, so that a small file can't stand for much memory.
"""

import errno
import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from converters.errors import ModelError

_ELSEWHERE = "keeps weights in other files"
_ONE_FILE = "save it as one file where they are: onnx.save(onnx.load('model.onnx'), 'whole.onnx')"
_LINKED = f"is a link, and might lead to any file; put a copy in its place, or {_ONE_FILE}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A model with its weights in it.

    Attributes:
        data: Serialised.
        files: SHA-256 in hex of each file that was read, by name.
    """

    data: bytes
    files: Mapping[str, str]


def whole_model(name: str, data: bytes, folder: Path, max_bytes: int) -> Whole:
    """Put the weights of a folder's files into a model.

    Args:
        name: Of the model, for messages.
        data: The model, known to parse.
        folder: That it lies in.
        max_bytes: Of the whole.

    Raises:
        ModelError: A name leads out of the folder or is a link, a file is missing, too short or too large.
    """
    model = onnx.load_model_from_string(data)
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    try:
        files = _contents(
            sorted({_fields(tensor).get("location", "") for tensor in outside}), folder, max_bytes - len(data)
        )
        _check_sum(outside, files)
        for tensor in outside:
            _fill(tensor, files)
    except ModelError as error:
        raise ModelError(f"{name} {_ELSEWHERE}: {error}") from error
    return Whole(
        model.SerializeToString(), {location: sha256(content).hexdigest() for location, content in files.items()}
    )


def _fields(tensor: TensorProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}


def _contents(locations: Sequence[str], folder: Path, most: int) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for location in locations:
        files[location] = _read(folder, location, most - sum(map(len, files.values())))
    return files


def _check_sum(tensors: Sequence[TensorProto], files: Mapping[str, bytes]) -> None:
    """Refuse tensors that ask for more than there is, by sharing it.

    Raises:
        ModelError: They do.
    """
    asked, there = sum(map(_bytes_of, tensors)), sum(map(len, files.values()))
    if asked > there:
        raise ModelError(
            f"{asked} bytes are asked of {', '.join(files)}, which has {there}; the files don't belong together or one "
            "is cut short: export it again"
        )


def _read(folder: Path, location: str, most: int) -> bytes:
    """Return the content of a regular file of the folder itself.

    Raises:
        ModelError: It is somewhere else, or something else, or larger.
    """
    shown = repr(location[:100])
    if not location or location in (".", "..") or not location.isprintable() or set(location) & {"/", "\\"}:
        raise ModelError(f"{shown} is not the name of a file beside it; {_ONE_FILE}")
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(folder / location, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{shown} is not a regular file; {_ONE_FILE}")
            if status.st_nlink > 1:
                raise ModelError(f"{shown} {_LINKED}")
            content = file.read(most + 1)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ModelError(f"{shown} {_LINKED}") from error
        raise ModelError(f"{shown} can't be read ({error.strerror}); it belongs beside the model") from error
    if len(content) > most:
        raise ModelError(f"{shown} is too large: models end at 2 GiB, weights included")
    return content


def _bytes_of(tensor: TensorProto) -> int:
    """Return the bytes that a tensor's shape and type ask for.

    Raises:
        ModelError: Its type has no fixed size.
    """
    types = (TensorProto.UNDEFINED, TensorProto.STRING)
    if tensor.data_type in types or tensor.data_type not in TensorProto.DataType.values():
        raise ModelError(f"{tensor.name!r} has no type of a fixed size; export it again")
    elements = math.prod(max(size, 0) for size in tensor.dims)
    if tensor.data_type in _HALF_BYTES:
        return (elements + 1) // 2
    return elements * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


_HALF_BYTES = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)


def _fill(tensor: TensorProto, files: Mapping[str, bytes]) -> None:
    """Take a tensor's bytes out of its file.

    Raises:
        ModelError: They aren't there, or not as many as its shape says.
    """
    fields = _fields(tensor)
    content, wanted = files[fields.get("location", "")], _bytes_of(tensor)
    offset = _number(fields.get("offset", "0"))
    length = _number(fields["length"]) if "length" in fields else wanted
    if length != wanted or offset + length > len(content):
        raise ModelError(
            f"{tensor.name[:100]!r} of {wanted} bytes lies at {offset} to {offset + length} of {len(content)} bytes; "
            "the files don't belong together or one is cut short: export it again"
        )
    tensor.raw_data = content[offset : offset + length]
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ModelError(f"{text[:30]!r} is no position in a file; export it again")
    return int(text)
