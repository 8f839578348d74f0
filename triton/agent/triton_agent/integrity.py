"""Are the files of published models those that their manifests speak of? Asked before tritonserver serves them.

`ruth-convert` writes `manifest.json` beside a version's files: `model_sha256`, the hash of `model.onnx`, and `files`,
the hashes of others by name. A model without a manifest was put there by somebody else, and is left to Triton.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path

from triton_agent.repository import config_text, served_versions

MANIFEST = "manifest.json"
MODEL_FILE = "model.onnx"

State = tuple[int, int, int, int]


@dataclass(slots=True)
class Integrity:
    """Compares the files of models with their manifests; a file that nobody touched is read once.

    Args:
        config_name: As given by `--model-config-name`.
    """

    config_name: str | None
    _known: dict[Path, tuple[State, str]] = field(default_factory=dict[Path, tuple[State, str]])

    def altered(self, models: Iterable[Path]) -> dict[str, str]:
        """What is wrong with the versions that are to be served, by model; empty where nothing is. Blocking.

        Args:
            models: Their folders.
        """
        found: dict[str, str] = {}
        for model in models:
            versions = served_versions(model, config_text(model, self.config_name))
            if reasons := [reason for reason in map(self._wrong, versions) if reason]:
                found[model.name] = "; ".join(reasons)
        return found

    def _wrong(self, version: Path) -> str:
        """What is wrong with a version; empty where nothing is."""
        path = version / MANIFEST
        try:
            recorded = _recorded(json.loads(path.read_text(encoding="utf-8")))
            for name, sha256 in recorded.items():
                path = version / name
                if self._sha256(path) != sha256:
                    return f"{path} was changed after it was published: publish it again, or roll back"
        except FileNotFoundError:
            return "" if path.name == MANIFEST else f"{path} is missing: publish it again, or roll back"
        except OSError as error:
            return f"{path} can't be read: {error.strerror}"
        except (ValueError, TypeError, RecursionError):
            return f"{path} is no manifest: publish the model again, or roll back"
        return ""

    def _sha256(self, path: Path) -> str:
        status = path.stat()
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = self._known.get(path)
        if known is None or known[0] != state:
            with path.open("rb") as file:
                known = self._known[path] = state, file_digest(file, "sha256").hexdigest()
        return known[1]


def _recorded(manifest: object) -> dict[str, str]:
    """SHA-256 in hexadecimal by name of a file; empty where it is another program's manifest.

    Raises:
        TypeError: It names files in a way that `ruth-convert` doesn't.
    """
    match manifest:
        case {"model_sha256": str(sha256), **rest}:
            files = rest.get("files", {})
            if not isinstance(files, dict):
                raise TypeError("files is no object")
            return {MODEL_FILE: sha256, **{str(name): str(value) for name, value in files.items()}}
        case _:
            return {}
