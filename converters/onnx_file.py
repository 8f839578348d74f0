"""Reading a model file that may be anything.

The bytes are read once. A child process with limits on memory and time parses and checks them first, so that a file
that breaks a parser ends as a message; only bytes that passed are parsed here.
"""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import TensorProto

from converters.engine_header import header_of
from converters.errors import ModelError
from converters.foreign_format import folder_refusal, foreign_format
from converters.local_functions import in_line
from converters.onnx_graph import MAX_IR_VERSION
from converters.onnx_probe import BESIDE, REFUSED, cpu_limit_s
from converters.pytorch_file import pickle_refusal
from converters.weights_beside import whole_model

MAX_BYTES = 2**31 - 1
"""Protobuf's limit on one message."""

_HIDDEN_BYTES = 64 * 1024
"""Tensors of this size are weights; those that shapes are computed from have a few numbers."""

_WAIT_PER_CPU_S = 20
"""Wall-clock seconds granted for each second of CPU time: on a busy machine the child waits for its turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """An input or output of a graph.

    Attributes:
        name: As in the graph.
        dtype: ONNX name such as FLOAT.
        shape: Integers, or the name of a symbolic dimension (`?` without one).
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.dtype} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """A model file that passed every check.

    Attributes:
        name: File name without its folder.
        sha256: Hex digest of the file; of the whole, where weights lay beside it.
        ir_version: As in the file.
        data: The file, of an IR version that every target's runtime reads: a newer one is lowered, as the operators
            themselves are numbered by their opset.
        model: Parsed, with inferred shapes in `graph.value_info`, and with its own functions put in line where
            they can be.
        inputs: What it takes, without initializers.
        outputs: What it gives.
        origin: What it was made from and how, where it was exported here; for the manifest.
    """

    name: str
    sha256: str
    ir_version: int
    data: bytes
    model: onnx.ModelProto
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    origin: tuple[tuple[str, str], ...] = ()


def read_onnx(path: Path) -> OnnxFile:
    """Read and check an untrusted ONNX file.

    Raises:
        ModelError: It is not a regular file, empty, too large, or what `onnx_of` refuses.
    """
    return onnx_of(path.name, read_bytes(path), path.parent)


def onnx_of(name: str, data: bytes, folder: Path | None = None) -> OnnxFile:
    """Check the bytes of an untrusted ONNX file.

    Args:
        name: For messages and the manifest.
        data: The bytes.
        folder: Where weights may lie beside it; None where nowhere.

    Raises:
        ModelError: They are of another format, damaged, invalid, or keep weights elsewhere.
    """
    engine = header_of(data)
    if engine is not None:
        raise ModelError(f"{name} is {engine.refusal}")
    pickled = pickle_refusal(data)
    if pickled is not None:
        raise ModelError(f"{name} is {pickled}")
    foreign = foreign_format(data)
    if foreign is not None:
        raise ModelError(f"{name} is {foreign}")
    if _probe(name, data):
        return parsed(name, data)
    whole = whole_model(name, data, folder, MAX_BYTES) if folder else None
    if whole is None or not _probe(name, whole.data):
        raise ModelError(f"{name} keeps weights in other files; save it as one file")
    beside = ", ".join(f"{file} sha256 {digest}" for file, digest in whole.files.items())
    alone = hashlib.sha256(data).hexdigest()
    return replace(parsed(name, whole.data), origin=(("file_sha256", alone), ("weights", beside)))


def parsed(name: str, data: bytes) -> OnnxFile:
    """Return what sound bytes hold; whoever has others calls `read_onnx`."""
    digest = hashlib.sha256(data).hexdigest()
    model = onnx.load_model_from_string(data)
    ir_version = model.ir_version
    if ir_version > MAX_IR_VERSION:
        model.ir_version = MAX_IR_VERSION
        data = model.SerializeToString()
    model = with_shapes(in_line(model))
    constants = {tensor.name for tensor in model.graph.initializer}
    return OnnxFile(
        name=name,
        sha256=digest,
        ir_version=ir_version,
        data=data,
        model=model,
        inputs=tuple(_info(value) for value in model.graph.input if value.name not in constants),
        outputs=tuple(_info(value) for value in model.graph.output),
    )


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the shapes that follow from its inputs; the one given is used up.

    The weights aren't shown to the inference, which asks for their sizes alone and would copy them three times.
    """
    hidden = {
        tensor.name: tensor.raw_data for tensor in model.graph.initializer if len(tensor.raw_data) >= _HIDDEN_BYTES
    }
    for tensor in model.graph.initializer:
        if tensor.name in hidden:
            tensor.ClearField("raw_data")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for tensor in inferred.graph.initializer:
        if tensor.name in hidden:
            tensor.raw_data = hidden[tensor.name]
    return inferred


def read_bytes(path: Path) -> bytes:
    """Open without blocking on a pipe or device, then read a regular file of a sane size.

    Raises:
        ModelError: It can't be read, is not a regular file, empty or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{path} is not a regular file; give the path of an .onnx file")
            if status.st_size > MAX_BYTES:
                raise ModelError(f"{path} has {status.st_size} bytes; ONNX files end at 2 GiB")
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError as error:
        raise ModelError(f"{path} is a folder{folder_refusal(path)}; give the path of an .onnx file") from error
    except OSError as error:
        raise ModelError(
            f"{path} can't be read: {error.strerror or error}; give the path of an .onnx file (`ruth-convert catalog` "
            "lists some to begin with)"
        ) from error
    if not data:
        raise ModelError(f"{path} is empty; download or export it again")
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path} grew past 2 GiB while it was read")
    return data


def _probe(name: str, data: bytes) -> bool:
    """Parse and check the bytes in a process of its own; False says that their weights lie beside them.

    Raises:
        ModelError: The child refused them, ran out of time or died.
    """
    done = _in_child(name, data)
    if done.returncode == REFUSED:
        raise ModelError(f"{name}: {_said(done)}")
    return done.returncode != BESIDE


def output_shapes(file: OnnxFile, shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Run a network of one input on zeros in a process of its own; return the shapes of its outputs, in their order.

    Raises:
        ModelError: It can't be run on them, or needs too much time or memory for that.
    """
    done = _in_child(file.name, file.data, *map(str, shape))
    if done.returncode != 0:
        raise ModelError(_said(done))
    shapes: list[list[int]] = json.loads(done.stdout)
    return [tuple(sizes) for sizes in shapes]


def _in_child(name: str, data: bytes, *shape: str) -> subprocess.CompletedProcess[bytes]:
    """Give the bytes to the process that may be harmed by them, and return what came of it where it came to its end.

    Raises:
        ModelError: It ran out of time or died.
    """
    command = [sys.executable, "-P", "-m", "converters.onnx_probe", *shape]  # nothing of the folder it is called in
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    seconds = cpu_limit_s(len(data))
    try:
        done = subprocess.run(
            command,
            input=data,
            capture_output=True,
            timeout=_WAIT_PER_CPU_S * seconds,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{name} could not be checked within {_WAIT_PER_CPU_S * seconds} s; it is not usable"
        ) from error
    if done.returncode == -signal.SIGXCPU:
        raise ModelError(f"{name} takes more than {seconds} s to check and run once; it is hostile or far too slow")
    if done.returncode not in (0, BESIDE, REFUSED):
        last = printable((done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1][:300])
        raise ModelError(
            f"{name} broke the ONNX checker (status {done.returncode}: {last}); the file is damaged or hostile, "
            "export it again"
        )
    return done


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return printable(done.stdout.decode(errors="replace").strip())


def printable(text: str, limit: int = 500) -> str:
    """Return text of a model file as it may go to a terminal: on one line, without control characters, not endless."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:limit])
    return shown if len(text) <= limit else f"{shown}..."


def _info(value: onnx.ValueInfoProto) -> TensorInfo:
    tensor = value.type.tensor_type
    return TensorInfo(
        name=value.name,
        dtype=TensorProto.DataType.Name(tensor.elem_type),
        shape=tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim),
    )
