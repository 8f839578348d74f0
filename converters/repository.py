"""The model repository on disk: which models and versions are published, and which of them is served.

    model_repository/people/config.pbtxt           names the one version that is served
    model_repository/people/3/{model.onnx,manifest.json}
    model_repository/people/2/config.pbtxt         of a version that was served before, kept for a rollback
    model_repository/people/warmup/frame_….nv12    what its configuration warms it up with

`stage` writes it.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from converters import triton_config
from converters.errors import ModelError

CONFIG_FILE = "config.pbtxt"
WARMUP_FOLDER = "warmup"


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository; the folder need not exist yet.

    Attributes:
        root: The folder that Triton is given.

    Raises:
        ModelError: It is something else than a folder.
    """

    root: Path

    def __post_init__(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise ModelError(f"{self.root} is not a folder; give a model repository")

    def names(self) -> list[str]:
        """Return the names of the folders that Triton would take for models, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def versions(self, name: str) -> list[int]:
        """Return the version numbers of a model, ascending."""
        folder = self.root / name
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(int(path.name) for path in found if path.name.isdecimal() and path.is_dir())

    def config(self, name: str) -> str | None:
        """Return the text of a model's config.pbtxt, None where it has none."""
        return _text(self.root / name / CONFIG_FILE)

    def config_of(self, name: str, version: int) -> str | None:
        """Return the configuration a version is served with, or was when it was last; None where none was kept.

        Raises:
            ModelError: There is no such version, or its configuration can't be read.
        """
        if version not in self.versions(name):
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise ModelError(f"{self.root / name} has no version {version}; there are: {known}")
        text = self.config(name)
        if text is not None and version in triton_config.served_versions(triton_config.parse(text)):
            return text
        return _text(self.root / name / str(version) / CONFIG_FILE)

    def served_version(self, name: str) -> int:
        """Return the version that a model's configuration names, else its highest.

        Raises:
            ModelError: There is no such model, version or model file.
        """
        known = self.names()
        text = self.config(name) if name in known else None
        versions = self.versions(name)
        if text is None or not versions:
            raise ModelError(f"{self.root} holds no model {name!r}; there are: {', '.join(known) or 'none'}")
        named = triton_config.served_versions(triton_config.parse(text))
        version = named[-1] if named else versions[-1]
        if version not in versions:
            raise ModelError(f"{name} is configured for version {version}, which is not there; publish it again")
        return version

    def published_version(self, name: str) -> int | None:
        """Return the version of a model of ours that is served, None where there is none to compare with.

        Raises:
            ModelError: The name belongs to a model that was not published by this program.
        """
        text = self.config(name)
        if text is None:
            return None
        if "ruth.converter" not in triton_config.parameters_of(triton_config.parse(text)):
            raise ModelError(f"{self.root / name} was not published by ruth-convert; choose another --name")
        try:
            return self.served_version(name)
        except ModelError:  # a version was removed by hand: publishing again is what mends it
            return None

    def model_bytes(self, name: str, version: int) -> bytes:
        """Return the model file of a version.

        Raises:
            ModelError: It can't be read.
        """
        path = self.root / name / str(version) / triton_config.MODEL_FILE
        try:
            return path.read_bytes()
        except OSError as error:
            raise ModelError(f"{path} can't be read ({error.strerror}); publish {name} again") from error


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} can't be read ({error})") from error


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file's content in hex."""
    return sha256(data).hexdigest()
