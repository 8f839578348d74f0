"""What is wrong with the models of a repository, by file and field, before a real Triton is asked to load them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from converters import integrity, triton_config
from converters.errors import ConvertError, ModelError
from converters.manifest import MANIFEST_FILE
from converters.onnx_file import TensorInfo, read_onnx
from converters.repository import CONFIG_FILE, WARMUP_FOLDER, Repository
from converters.spec import Serving, Target

_DTYPES = {"FLOAT": "FP32", "FLOAT16": "FP16", "DOUBLE": "FP64", "BFLOAT16": "BF16"}
"""ONNX's name of an element type to Triton's, where they differ."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Severity(StrEnum):
    """Whether a model can't be trusted to serve (`error`), or only could be tidier (`note`)."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing about one model.

    Attributes:
        severity: Whether it fails the lint.
        file: Relative to the model's folder.
        field: In that file; empty where the file as a whole is meant.
        problem: What is wrong and what would do.
    """

    severity: Severity
    file: str
    field: str
    problem: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.field}" if self.field else self.file
        return f"{place}: {'' if self.severity is Severity.ERROR else 'note: '}{self.problem}"


def error(file: str, field: str, problem: str) -> Finding:
    """Return a finding that fails the lint."""
    return Finding(severity=Severity.ERROR, file=file, field=field, problem=problem)


def note(file: str, field: str, problem: str) -> Finding:
    """Return a finding that doesn't."""
    return Finding(severity=Severity.NOTE, file=file, field=field, problem=problem)


def static_findings(repository: Repository, name: str) -> list[Finding]:
    """Return what the files of one model show, without loading it."""
    try:
        text = repository.config(name)
        if text is None:
            return [error(CONFIG_FILE, "", "is missing; Triton would guess, and guesses batching wrong")]
        config = triton_config.parse(text)
    except ModelError as problem:
        return [error(CONFIG_FILE, "", str(problem))]
    found = [*_identity(name, text, config), *_versions(repository, name, config)]
    found += _warmup(repository.root / name, config)
    ours = "ruth.contract" in triton_config.parameters_of(config)
    for version in _served(repository, name, config):
        folder = repository.root / name / str(version)
        if ours or (folder / MANIFEST_FILE).exists():
            found += _files(folder, config)
        found += _tensors(folder, config, ours=ours)
    return found + (list(_contract(config)) if ours else [])


def _identity(name: str, text: str, config: dict[str, Any]) -> Iterator[Finding]:
    if config.get("name", name) != name:
        yield error(CONFIG_FILE, "name", f"is {config['name']!r}, the folder {name!r}; Triton refuses that")
    if not re.search(r"^\s*max_batch_size\s*:", text, re.MULTILINE):
        yield note(CONFIG_FILE, "max_batch_size", "is not written; write it, 0 too, so that nobody has to guess")
    if "backend" not in config and "platform" not in config:
        yield error(CONFIG_FILE, "backend", 'is missing; write one, such as backend: "onnxruntime"')


def _versions(repository: Repository, name: str, config: dict[str, Any]) -> Iterator[Finding]:
    there = repository.versions(name)
    named = triton_config.served_versions(config)
    if not there:
        yield error("1", "", "no version folder; put the model into one, such as 1/, or publish it")
    for version in named:
        if there and version not in there:
            yield error(
                CONFIG_FILE, "version_policy", f"names version {version}, which is not there; there are: {there}"
            )
    newer = [version for version in there if named and version > named[-1]]
    for version in newer:
        yield note(str(version), "", f"is newer than the served version {named[-1]}: rolled back, or never finished")
    stale = [version for version in there if named and version < named[-1]]
    if len(stale) > 1:
        yield note(
            str(stale[0]), "", f"versions {stale} are not served; a rollback needs the last one, remove the rest"
        )


def _served(repository: Repository, name: str, config: dict[str, Any]) -> list[int]:
    there = repository.versions(name)
    named = triton_config.served_versions(config)
    return [version for version in named if version in there] if named else there[-1:]


def _files(folder: Path, config: dict[str, Any]) -> Iterator[Finding]:
    try:
        for name, problem in integrity.problems(folder).items():
            yield error(f"{folder.name}/{name}", "", problem)
        told = triton_config.parameters_of(config).get("ruth.model_sha256")
        recorded = integrity.recorded_hashes(folder)[triton_config.MODEL_FILE]
    except ModelError as problem:
        yield error(f"{folder.name}/{MANIFEST_FILE}", "", str(problem))
        return
    if told is not None and told != recorded:
        field = 'parameters["ruth.model_sha256"]'
        yield error(CONFIG_FILE, field, f"is {told}, the manifest says {recorded}; publish the model again")


def _contract(config: dict[str, Any]) -> Iterator[Finding]:
    """Compare the contract's parameters with the tensors that the configuration declares."""
    values = triton_config.parameters_of(config)
    for key in ("ruth.source_sha256", "ruth.model_sha256"):
        if not _SHA256.fullmatch(values.get(key, "")):
            yield error(CONFIG_FILE, f'parameters["{key}"]', f"is {values.get(key)!r}, not a SHA-256 in hex")
    for key in ("ruth.labels", "ruth.keypoints"):
        if not _is_list_of_names(values.get(key, "[]")):
            yield error(CONFIG_FILE, f'parameters["{key}"]', "is not a JSON list of names")
    try:
        spec = triton_config.spec_of(config)
    except ConvertError as problem:
        yield error(CONFIG_FILE, "parameters", str(problem))
        return
    serving = Serving(target=Target.CPU, instances=1, threads=1)
    identity = triton_config.Identity(name="", version=1, source_sha256="", model_sha256="")
    wanted = triton_config.model_config(spec, serving, identity)
    for field in ("input", "output"):
        yield from _against_contract(field, wanted[field], config.get(field, []))
    if int(config.get("max_batch_size", 0)) < 1:
        yield error(CONFIG_FILE, "max_batch_size", "is 0; the contract asks for a batch axis, so at least 1")


def _against_contract(
    field: str, wanted: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> Iterator[Finding]:
    declared = {tensor.get("name"): tensor for tensor in found}
    for tensor in wanted:
        there = declared.get(tensor["name"])
        if there is None:
            yield error(CONFIG_FILE, field, f"{tensor['name']} is missing; the contract asks for it")
            continue
        dims = [int(size) for size in there.get("dims", [])]
        if (there.get("data_type"), dims) != (tensor["data_type"], list(tensor["dims"])):
            yield error(
                CONFIG_FILE,
                f"{field} {tensor['name']}",
                f"is {there.get('data_type')} {dims}; by its parameters the contract asks for "
                f"{tensor['data_type']} {list(tensor['dims'])}",
            )


def _tensors(folder: Path, config: dict[str, Any], *, ours: bool) -> Iterator[Finding]:
    """Compare the declared tensors with those of the ONNX graph."""
    file = f"{folder.name}/{config.get('default_model_filename', triton_config.MODEL_FILE)}"
    path = folder.parent / file
    if path.suffix != ".onnx" or (not path.exists() and config.get("backend") != triton_config.BACKEND):
        return
    try:
        graph = read_onnx(path)
    except ModelError as problem:
        yield (error if ours else note)(file, "", str(problem))
        return
    batched = int(config.get("max_batch_size", 0)) > 0
    for field, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        by_name = {tensor.name: tensor for tensor in tensors}
        for declared in config.get(field, []):
            tensor = by_name.get(declared.get("name", ""))
            place = f"{field} {declared.get('name')}"
            if tensor is None:
                yield error(CONFIG_FILE, place, f"is not in the graph; it has: {', '.join(by_name)}")
            else:
                yield from _shape_findings(place, declared, tensor, batched=batched)


def _shape_findings(place: str, declared: dict[str, Any], tensor: TensorInfo, *, batched: bool) -> Iterator[Finding]:
    dtype = f"TYPE_{_DTYPES.get(tensor.dtype, tensor.dtype)}"
    if declared.get("data_type") != dtype:
        yield error(CONFIG_FILE, f"{place}.data_type", f"is {declared.get('data_type')}, in the graph {dtype}")
    dims: list[int | str] = [int(size) for size in declared.get("dims", [])]
    if "reshape" in declared:
        return
    if batched and isinstance(tensor.shape[0] if tensor.shape else 1, int):
        yield error(CONFIG_FILE, "max_batch_size", f"needs a dynamic first axis, the graph has {tensor}; write 0")
    if batched and len(dims) == len(tensor.shape) and _fits(dims[1:], tensor.shape[1:]):
        yield error(
            CONFIG_FILE,
            f"{place}.dims",
            f"is {dims}: with max_batch_size above 0 the batch axis is left out; write {dims[1:]}",
        )
    elif not _fits(dims, tensor.shape[1:] if batched else tensor.shape):
        yield error(CONFIG_FILE, f"{place}.dims", f"is {dims}, the graph has {tensor}")


def _fits(dims: Sequence[int | str], shape: Sequence[int | str]) -> bool:
    free = len(dims) == len(shape)
    return free and all(-1 in (a, b) or isinstance(b, str) or a == b for a, b in zip(dims, shape, strict=True))


def _warmup(folder: Path, config: dict[str, Any]) -> Iterator[Finding]:
    for request in config.get("model_warmup", []):
        for tensor in request.get("inputs", {}).values():
            file = tensor.get("input_data_file")
            if file and not (folder / WARMUP_FOLDER / file).is_file():
                yield error(CONFIG_FILE, "model_warmup", f"names {file}, which is not in {WARMUP_FOLDER}/")


def _is_list_of_names(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
