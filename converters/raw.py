"""A model as it is, for direct calls: its own tensors, with a dynamic batch where that can be shown to work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors  # pyright: ignore[reportAttributeAccessIssue]

from converters.dynamic_batch import make_batch_dynamic
from converters.errors import ModelError
from converters.onnx_file import OnnxFile, TensorInfo
from converters.onnx_probe import FREE_AXIS
from converters.parity import Difference
from converters.reference import session

Tensors = dict[str, NDArray[Any]]

TOLERANCE = 1e-4
"""Largest difference between two runs of the same network, relative to the largest value of a tensor, or absolute
below 1. Batched and single convolutions add in different orders."""

_PROOF_BATCH = 3
_NUMBERS = {
    "FLOAT": np.float32,
    "FLOAT16": np.float16,
    "DOUBLE": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "BOOL": np.bool_,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawModel:
    """A model outside the contract.

    Attributes:
        data: ONNX bytes.
        inputs: With their batch axis, where there is one.
        outputs: With their batch axis, where there is one.
        batched: Whether the first axis of every tensor is the batch, of any size.
    """

    data: bytes
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    batched: bool


def raw_model(file: OnnxFile) -> RawModel:
    """Return the file's network with a dynamic batch, or the file as it is where it can't have one.

    Raises:
        ModelError: It takes or gives something other than numbers, or can't be run at all.
    """
    for tensor in (*file.inputs, *file.outputs):
        if tensor.dtype not in _NUMBERS:
            raise ModelError(f"{tensor} does not hold numbers; a model for direct calls takes and gives numbers only")
        if not tensor.shape:
            raise ModelError(f"{tensor} has no axis, and Triton serves none such; export it with shape [1]")
    plain = RawModel(data=file.data, inputs=file.inputs, outputs=file.outputs, batched=False)
    run_raw(plain, seeded_inputs(plain, 1))
    return _batched(file) or plain


def seeded_inputs(model: RawModel, batch: int, seed: int = 1) -> Tensors:
    """Return random inputs: floats from 0 to 1, bytes of their whole range, other integers 0 or 1."""
    random = np.random.default_rng(seed)
    return {tensor.name: _values(random, tensor, _shape(tensor, batch, model.batched)) for tensor in model.inputs}


def run_raw(model: RawModel, inputs: Tensors) -> Tensors:
    """Return a model's outputs by name.

    Raises:
        ModelError: ONNX Runtime can't run it on these inputs.
    """
    names = [tensor.name for tensor in model.outputs]
    try:
        outputs = session(model.data).run(names, inputs)
    except (ort_errors.Fail, ort_errors.InvalidArgument, ort_errors.RuntimeException) as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise ModelError(f"it can't be run on {shapes}: {str(error).splitlines()[0]}; export it anew") from error
    return {name: np.asarray(value) for name, value in zip(names, outputs, strict=True)}


def difference(expected: Tensors, found: Tensors) -> Difference:
    """Compare tensors by name; a row is a tensor, unmatched one of another shape or with values too far apart."""
    total = Difference()
    for name, tensor in expected.items():
        other = found[name]
        if tensor.shape != other.shape:
            total = total.merged(Difference(unmatched=1))
            continue
        first, second = tensor.astype(np.float64), other.astype(np.float64)
        scale = max(1.0, float(np.abs(first[np.isfinite(first)]).max(initial=0)))
        apart = _distance(first, second) / scale
        total = total.merged(Difference(rows=1, unmatched=int(apart > TOLERANCE), score=apart))
    return total


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the largest difference; NaN and infinity are at no distance from themselves, and far from all else."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    finite = np.isfinite(first) & np.isfinite(second)
    if not (same | finite).all():
        return float("inf")
    return float(np.abs(first[finite] - second[finite]).max(initial=0))


def _batched(file: OnnxFile) -> RawModel | None:
    """Return the network with a dynamic batch if each index of one gets what it gets alone."""
    if not all(_has_batch(tensor) for tensor in (*file.inputs, *file.outputs)):
        return None
    model = file.model
    for tensor in file.inputs:
        if isinstance(tensor.shape[0], int):
            model = make_batch_dynamic(model, tensor.name)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    candidate = RawModel(
        data=copy.SerializeToString(deterministic=True), inputs=file.inputs, outputs=file.outputs, batched=True
    )
    return candidate if _proved(candidate) else None


def _proved(model: RawModel) -> bool:
    inputs = seeded_inputs(model, _PROOF_BATCH)
    try:
        together = run_raw(model, inputs)
        alone = [run_raw(model, _rows(inputs, index)) for index in range(_PROOF_BATCH)]
    except ModelError:
        return False
    if any(value.shape[:1] != (_PROOF_BATCH,) for value in together.values()):
        return False
    return not any(difference(alone[index], _rows(together, index)).unmatched for index in range(_PROOF_BATCH))


def _rows(tensors: Tensors, index: int) -> Tensors:
    return {name: value[index : index + 1] for name, value in tensors.items()}


def _has_batch(tensor: TensorInfo) -> bool:
    return len(tensor.shape) > 1 and (tensor.shape[0] == 1 or isinstance(tensor.shape[0], str))


def _shape(tensor: TensorInfo, batch: int, batched: bool) -> Sequence[int]:
    shape = [size if isinstance(size, int) else FREE_AXIS for size in tensor.shape]
    if shape and (batched or isinstance(tensor.shape[0], str)):
        shape[0] = batch
    return shape


def _values(random: np.random.Generator, tensor: TensorInfo, shape: Sequence[int]) -> NDArray[Any]:
    numbers = np.dtype(_NUMBERS[tensor.dtype])
    if numbers.kind == "f":
        return random.random(shape).astype(numbers)
    return random.integers(0, 256 if numbers == np.uint8 else 2, shape).astype(numbers)
