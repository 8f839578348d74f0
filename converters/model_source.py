"""What was trained, as ONNX: a file of it, or a network of PyTorch that is exported here and compared with itself."""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters import pytorch_export
from converters.errors import MissingError, ModelError, UsageError
from converters.onnx_file import OnnxFile, onnx_of, printable, read_bytes
from converters.pictures import load_pictures, render_pictures
from converters.pytorch_example import read_example
from converters.pytorch_file import PyTorchFile, pytorch_file
from converters.reference import session

TOLERANCE = 1e-3
"""Largest difference between PyTorch and ONNX Runtime, relative to the largest value of an output, or absolute below 1:
they add in different orders, and a decoded box is the exponential of what they added."""

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_PICTURES = 4
_WAIT_S = 1800
_BY_HAND = "export it as ONNX yourself (torch.onnx.export) and convert that"
_INSTALL = "pip install 'ruth-ai[convert,torch]' installs it; the build for CPUs is enough (see docs/converting.md)"


def read_model(model: Path, example: str | None, pictures: Path | None, report: Callable[[str], None]) -> OnnxFile:
    """Read an ONNX file, or export a network of PyTorch and compare both.

    Args:
        model: ONNX file, file of `torch.export.save`, or `package.module:factory`.
        example: What a factory's network is traced with, as `read_example` takes it.
        pictures: Folder of pictures that both are asked about; None renders some.
        report: Told what begins.

    Raises:
        UsageError: A factory without an example, or a file with one.
        ModelError: It can't be used or exported, or the export answers differently.
        MissingError: PyTorch isn't installed.
    """
    factory = str(model) if _FACTORY.fullmatch(str(model)) and not model.exists() else None
    if factory is not None:
        if example is None:
            raise UsageError(f"{factory} needs an example of its input: add --example 1x3x640x640, or a picture")
        report(f"export {factory} with PyTorch")
        exported = _exported({"factory": factory}, {pytorch_export.EXAMPLES: _npz(read_example(example))}, pictures)
        return replace(exported, name=factory, origin=(("factory", factory), ("example", example), *exported.origin))
    if example is not None:
        raise UsageError(f"--example belongs to package.module:factory; {model} says itself what it takes")
    data = read_bytes(model)
    if pytorch_file(data) is not PyTorchFile.PROGRAM:
        return onnx_of(model.name, data, model.parent)
    report(f"export {model.name} with PyTorch")
    exported = _exported({"factory": None, "name": model.name}, {pytorch_export.PROGRAM: data}, pictures)
    return replace(exported, name=model.name, sha256=hashlib.sha256(data).hexdigest())


def _exported(request: dict[str, str | None], files: dict[str, bytes], pictures: Path | None) -> OnnxFile:
    """Export in a process of its own, check the file, and compare its answers with PyTorch's."""
    name = request["factory"] or str(request["name"])
    shown = (load_pictures(pictures) if pictures else render_pictures()).pictures[:_PICTURES]
    with tempfile.TemporaryDirectory(prefix="ruth-convert-") as scratch:
        folder = Path(scratch)
        (folder / pytorch_export.REQUEST).write_text(json.dumps(request), encoding="utf-8")
        for path, content in {**files, pytorch_export.PICTURES: _npz(shown)}.items():
            (folder / path).write_bytes(content)
        _run(name, folder)
        facts = json.loads((folder / pytorch_export.FACTS).read_text(encoding="utf-8"))
        file = onnx_of(name, (folder / pytorch_export.MODEL).read_bytes())
        with np.load(folder / pytorch_export.ANSWERS, allow_pickle=False) as answers:
            apart = _compared(file, dict(answers))
    return replace(file, origin=(*facts.items(), ("max_abs_difference_from_pytorch", f"{apart:.3g}")))


def _run(name: str, folder: Path) -> None:
    """Run the child.

    Raises:
        ModelError: It refused, ran out of time or died.
        MissingError: PyTorch isn't installed.
    """
    command = [sys.executable, "-P", "-m", "converters.pytorch_export", str(folder)]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_WAIT_S, check=False, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{name} was not exported within {_WAIT_S} s; {_BY_HAND}") from error
    if done.returncode == 0:
        return
    if done.returncode in (pytorch_export.REFUSED, pytorch_export.MISSING):
        reason = printable((folder / pytorch_export.REFUSAL).read_text(encoding="utf-8"), limit=900)
        if done.returncode == pytorch_export.MISSING:
            raise MissingError(f"{name} is a network of PyTorch, and the package {reason} is not installed: {_INSTALL}")
        raise ModelError(f"{name}: {reason}")
    if done.returncode == -signal.SIGXCPU:
        raise ModelError(
            f"{name} took more than {pytorch_export.CPU_LIMIT_S} s of CPU time; export it as ONNX yourself"
        )
    last = printable((done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1], limit=300)
    raise ModelError(f"{name} broke PyTorch (status {done.returncode}: {last}); {_BY_HAND}")


def _compared(file: OnnxFile, answers: dict[str, NDArray[Any]]) -> float:
    """Return the largest absolute difference between ONNX Runtime's answers and PyTorch's.

    Raises:
        ModelError: They have other shapes, or lie further apart than `TOLERANCE`.
    """
    ours = session(file.data)
    names = [entry.name for entry in ours.get_inputs()]
    chooses = any(node.op_type == "TopK" for node in file.model.graph.node)
    largest = 0.0
    for index in range(sum(key.startswith("in_") and key.endswith("_0") for key in answers)):
        found: Sequence[Any] = ours.run(
            None, {name: answers[f"in_{index}_{place}"] for place, name in enumerate(names)}
        )
        expected = list(_numbered(answers, f"out_{index}_"))
        if [value.shape for value in expected] != [np.shape(value) for value in found]:
            raise ModelError(f"{file.name}: ONNX Runtime gives tensors of other shapes than PyTorch; {_OTHERWISE}")
        for wanted, value in zip(expected, found, strict=True):
            apart = _distance(wanted.astype(np.float64), np.asarray(value, dtype=np.float64), by_row=chooses)
            largest = max(largest, apart)
            bound = TOLERANCE * max(1.0, float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)))
            if not apart <= bound:
                figures = f"differ by {apart:.3g} on a picture, {bound:.3g} is allowed"
                raise ModelError(f"{file.name}: ONNX Runtime and PyTorch {figures}; {_OTHERWISE}")
    return largest


_OTHERWISE = "an operator was translated wrongly: export it as ONNX yourself, with another version of PyTorch"


def _numbered(answers: dict[str, NDArray[Any]], prefix: str) -> Iterator[NDArray[Any]]:
    place = 0
    while f"{prefix}{place}" in answers:
        yield answers[f"{prefix}{place}"]
        place += 1


def _distance(wanted: NDArray[np.float64], found: NDArray[np.float64], *, by_row: bool) -> float:
    """Return the largest difference; of rows that a network chose, to the nearest row: equal scores have no order."""
    same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
    plain = float(np.abs(wanted - found).max(initial=0, where=~same))
    if not by_row or wanted.ndim != 3 or plain == 0:
        return plain
    return max(
        float(np.abs(mine[:, None] - theirs[None]).max(axis=2).min(axis=1).max(initial=0))
        for one, other in zip(wanted, found, strict=True)
        for mine, theirs in ((one, other), (other, one))
    )


def _npz(arrays: Sequence[NDArray[Any]]) -> bytes:
    written = io.BytesIO()
    np.savez(written, *arrays)
    return written.getvalue()
