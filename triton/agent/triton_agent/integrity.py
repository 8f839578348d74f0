"""Are the files of published models those that their manifests speak of? Asked before tritonserver loads them.

`ruth-convert` writes `manifest.json` beside a version's files: `model_sha256`, the hash of `model.onnx`, and `files`,
the hashes of others by name. A model without a manifest was put there by somebody else, and is left to Triton.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import Any

from triton_agent.repository import config_text, served_versions, wanted_models
from triton_agent.settings import Serving

MANIFEST = "manifest.json"
MODEL_FILE = "model.onnx"

State = tuple[int, int, int, int]


@dataclass(slots=True)
class Integrity:
    """Compares the files of models with their manifests; a file that nobody touched is read once.

    Args:
        serving: Which models, in which repository.
    """

    serving: Serving
    _known: dict[Path, tuple[State, str]] = field(default_factory=dict[Path, tuple[State, str]])

    def altered(self) -> dict[str, str]:
        """What is wrong with the versions that are to be served, by model; empty where nothing is. Blocking."""
        found: dict[str, str] = {}
        for model in wanted_models(self.serving):
            config = config_text(model, self.serving.model_config_name)
            wrong = [self._wrong(version) for version in served_versions(model, config)]
            if reasons := [reason for reason in wrong if reason]:
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
        except (ValueError, TypeError, AttributeError):
            return f"{path} is no manifest of a model: publish it again, or roll back"
        return ""

    def _sha256(self, path: Path) -> str:
        status = path.stat()
        state = status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        known = self._known.get(path)
        if known is None or known[0] != state:
            with path.open("rb") as file:
                known = self._known[path] = state, file_digest(file, "sha256").hexdigest()
        return known[1]


def _recorded(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 in hexadecimal by name of a file."""
    return {MODEL_FILE: manifest["model_sha256"], **manifest.get("files", {})}
