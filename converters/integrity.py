"""Are the files of a published version those that its manifest speaks of? Asked before anything loads them."""

from hashlib import file_digest
from pathlib import Path

from converters import manifest
from converters.errors import ModelError
from converters.triton_config import MODEL_FILE

LOADED_SUFFIXES = (".onnx", ".plan", ".engine", ".pt", ".py", ".so")
"""What a Triton backend may load or run from a version folder."""


def recorded_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 in hex by file name that a version's manifest records.

    Raises:
        ModelError: There is no manifest, or it holds no such record.
    """
    fields = manifest.read(folder)
    model, others = fields.get("model_sha256"), fields.get("files", {})
    if not isinstance(model, str) or not isinstance(others, dict):
        raise ModelError(f"{folder / manifest.MANIFEST_FILE} records no hash of {MODEL_FILE}; publish the model again")
    return {MODEL_FILE: model, **{str(name): str(value) for name, value in others.items()}}


def problems(folder: Path) -> dict[str, str]:
    """Return what is wrong by file name: changed, missing, or loadable and recorded nowhere; empty for a sound version.

    Raises:
        ModelError: The manifest or a file can't be read.
    """
    recorded = recorded_hashes(folder)
    loadable = {path.name for path in folder.iterdir() if path.suffix in LOADED_SUFFIXES}
    found = {name: _problem(folder / name, value) for name, value in recorded.items()}
    found |= dict.fromkeys(loadable - recorded.keys(), "the manifest does not know it; take it out")
    return {name: problem for name, problem in found.items() if problem}


def check(folder: Path) -> None:
    """Refuse a version whose files are not those of its manifest.

    Raises:
        ModelError: One is not; the message names it.
    """
    for name, problem in problems(folder).items():
        raise ModelError(f"{folder / name}: {problem}")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a regular file in hex, read in pieces.

    Raises:
        ModelError: It is a link or no regular file, or can't be read.
    """
    if path.is_symlink() or not path.is_file():
        raise ModelError(f"{path} is not a regular file; publish the model again")
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path} can't be read ({error.strerror}); publish the model again") from error


def _problem(path: Path, recorded: str) -> str:
    if not path.exists():
        return "the manifest names it and it is not there; publish the model again"
    if sha256_of(path) != recorded:
        return f"was changed after it was published: its manifest says {recorded}; publish it again"
    return ""
