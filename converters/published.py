"""What is in a repository: listing it, checking one model again, loading each in a real Triton."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from converters import manifest, triton_config
from converters.errors import ModelError
from converters.parity import Difference
from converters.pictures import load_pictures, render_pictures
from converters.publish import Report
from converters.repository import CONFIG_FILE, Repository, digest
from converters.trial import try_in_triton
from converters.triton_server import trial_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One model of a repository.

    Attributes:
        name: Folder name.
        version: Served version; None where there is none to serve.
        task: `ruth.task`; empty for a model outside the contract.
        canvas: `width x height` of its input; empty outside the contract.
        precision: `ruth.precision`; empty outside the contract.
        problem: Why it can't be served, empty if it can for all the files say.
    """

    name: str
    version: int | None
    task: str = ""
    canvas: str = ""
    precision: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What lint says of one model.

    Attributes:
        name: Folder name.
        problem: What is wrong, empty for a sound model.
    """

    name: str
    problem: str


def list_models(root: Path) -> list[Listed]:
    """Return the models of a repository by name; reads files only."""
    repository = Repository(root)
    return [_listed(repository, name) for name in repository.names()]


def verify_published(root: Path, name: str, pictures: Path | None, report: Report) -> Difference:
    """Check a published model: file against manifest, then Triton's answers against ONNX Runtime's.

    Raises:
        ModelError: A file was changed, Triton can't load the model, or the answers differ.
        MissingError: There is no Triton.
    """
    repository = Repository(root)
    version = repository.served_version(name)
    report(f"compare {name}/{version} with its manifest")
    _check_hash(root / name / str(version), repository.model_bytes(name, version))
    chosen = load_pictures(pictures) if pictures else render_pictures()
    report("load in a real Triton and compare")
    with TemporaryDirectory(prefix="ruth-convert-") as stage:
        _copy(root / name, version, Path(stage) / name)
        return try_in_triton(Path(stage), name, version, chosen)


def _copy(model: Path, version: int, target: Path) -> None:
    """Copy a model with one of its versions."""
    try:
        shutil.copytree(model / str(version), target / str(version))
        shutil.copy(model / CONFIG_FILE, target)
    except (OSError, shutil.Error) as error:
        raise ModelError(f"{model} can't be copied to {target.parent} ({error}); free some space there") from error


def lint(root: Path, report: Report) -> list[Finding]:
    """Load every model of a repository in a real Triton, each in one of its own.

    Raises:
        ModelError: The folder holds no model.
        MissingError: There is no Triton.
    """
    repository = Repository(root)
    if not repository.names():
        raise ModelError(f"{root} holds no model; give a model repository")
    findings: list[Finding] = []
    for name in repository.names():
        report(f"load {name}")
        findings.append(Finding(name=name, problem=_problem(repository, name)))
    return findings


def _problem(repository: Repository, name: str) -> str:
    try:
        config = triton_config.parse(repository.config(name) or "")
        if "ruth.contract" in triton_config.parameters_of(config):
            triton_config.spec_of(config)
            version = repository.served_version(name)
            _check_hash(repository.root / name / str(version), repository.model_bytes(name, version))
        with trial_server(repository.root, [name]):
            return ""
    except ModelError as error:
        return str(error)


def _check_hash(folder: Path, model: bytes) -> None:
    recorded = manifest.read(folder).get("model_sha256")
    if recorded != digest(model):
        raise ModelError(f"{folder} was changed after it was published: its manifest says {recorded}; publish it again")


def _listed(repository: Repository, name: str) -> Listed:
    try:
        version = repository.served_version(name)
        config = triton_config.parse(repository.config(name) or "")
        if "ruth.contract" not in triton_config.parameters_of(config):
            return Listed(name=name, version=version)
        spec = triton_config.spec_of(config)
    except ModelError as error:
        return Listed(name=name, version=None, problem=str(error))
    return Listed(
        name=name,
        version=version,
        task=spec.task.value,
        canvas=f"{spec.width} x {spec.height}",
        precision=spec.precision.value,
    )
