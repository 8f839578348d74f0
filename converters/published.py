"""What is in a repository: listing it, checking one model again, loading each in a real Triton."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from converters import integrity, triton_config
from converters.errors import ModelError
from converters.lint import Finding, Severity, error, static_findings
from converters.parity import Difference
from converters.pictures import load_pictures, render_pictures
from converters.progress import Report
from converters.raw_trial import try_raw_in_triton
from converters.repository import CONFIG_FILE, Repository
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
class Linted:
    """What lint says of one model.

    Attributes:
        name: Folder name.
        sound: Whether no finding is an error.
        findings: By file and field; the real load is the last that can fail.
    """

    name: str
    sound: bool
    findings: tuple[Finding, ...]


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
    integrity.check(root / name / str(version))
    config = triton_config.parse(repository.config(name) or "")
    chosen = load_pictures(pictures) if pictures else render_pictures()
    report("load in a real Triton and compare")
    with TemporaryDirectory(prefix="ruth-convert-") as stage:
        _copy(root / name, version, Path(stage) / name)
        if "ruth.contract" not in triton_config.parameters_of(config):
            return try_raw_in_triton(Path(stage), name, version)
        return try_in_triton(Path(stage), name, version, chosen)


def _copy(model: Path, version: int, target: Path) -> None:
    """Copy a model with one of its versions, and the frames it is warmed up with."""
    try:
        shutil.copytree(model / str(version), target / str(version))
        shutil.copy(model / CONFIG_FILE, target)
        if (model / "warmup").is_dir():
            shutil.copytree(model / "warmup", target / "warmup")
    except (OSError, shutil.Error) as error:
        raise ModelError(f"{model} can't be copied to {target.parent} ({error}); free some space there") from error


def lint(root: Path, report: Report) -> list[Linted]:
    """Check the files of every model, then load each that they don't speak against in a real Triton of its own.

    Raises:
        ModelError: The folder holds no model.
        MissingError: There is no Triton.
    """
    repository = Repository(root)
    if not repository.names():
        raise ModelError(f"{root} holds no model; give a model repository")
    return [_linted(repository, name, report) for name in repository.names()]


def _linted(repository: Repository, name: str, report: Report) -> Linted:
    report(f"read {name}")
    findings = static_findings(repository, name)
    if not any(finding.severity is Severity.ERROR for finding in findings):
        report(f"load {name}")
        findings += _load_findings(repository, name)
    sound = not any(finding.severity is Severity.ERROR for finding in findings)
    return Linted(name=name, sound=sound, findings=tuple(findings))


def _load_findings(repository: Repository, name: str) -> list[Finding]:
    try:
        with trial_server(repository.root, [name]):
            return []
    except ModelError as problem:
        return [error(str(repository.served_version(name)), "", str(problem))]


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
