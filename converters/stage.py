"""A stage beside the repository, and the step from one to the other.

    .model_repository.staging/…    beside the repository: Triton takes every folder inside that for a model

A version becomes the served one by one rename: of the whole folder for a new model, of config.pbtxt for a new version
of a known one. A process killed at any instant leaves the old state or the new one.
"""

import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from converters import plan_store, triton_config
from converters.errors import ModelError
from converters.folder_lock import folder_lock
from converters.manifest import MANIFEST_FILE
from converters.repository import CONFIG_FILE, WARMUP_FOLDER, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The files of one version.

    Attributes:
        model: `model.onnx`.
        config: Text of config.pbtxt.
        manifest: Text of manifest.json.
        warmup: Content by file name of what config.pbtxt warms up with.
    """

    model: bytes
    config: str
    manifest: str
    warmup: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True)
class Stage:
    """A repository of one model that nobody serves yet, on the file system of the real one.

    Attributes:
        repository: Where it will be published.
    """

    repository: Repository

    @property
    def root(self) -> Path:
        """The folder that a trial Triton is given: beside the repository, hidden in it where that is another disk."""
        root = self.repository.root.resolve()
        beside = root.parent
        same = beside.stat().st_dev == root.stat().st_dev and os.access(beside, os.W_OK)
        return beside / f".{root.name}.staging" if same else root / ".staging"

    def clear(self) -> None:
        """Remove it, and whatever a killed publisher left in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def write(self, name: str, version: int, content: Content) -> None:
        """Write the model to the stage and through to the disk.

        Raises:
            ModelError: The disk is full or can't be written.
        """
        folder = self.root / name
        try:
            (folder / str(version)).mkdir(parents=True)
            _write(folder / str(version) / triton_config.MODEL_FILE, content.model)
            _write(folder / str(version) / MANIFEST_FILE, content.manifest.encode())
            _write(folder / CONFIG_FILE, content.config.encode())
            if content.warmup:
                (folder / WARMUP_FOLDER).mkdir()
            for file, data in content.warmup.items():
                _write(folder / WARMUP_FOLDER / file, data)
            _sync_folder(folder / str(version))
            _sync_folder(folder)
        except OSError as error:
            raise ModelError(f"{self.root} can't be written ({error.strerror}); free some space there") from error

    def next_version(self, name: str) -> int:
        """Return the number after the highest that is there, served or left by a killed publisher."""
        return max(self.repository.versions(name), default=0) + 1

    def publish(self, name: str, version: int) -> Path:
        """Move the staged model into the repository, as a version that is not there yet; return its folder.

        Raises:
            ModelError: The repository can't be written.
        """
        try:
            self._move(name, version)
        except OSError as error:
            raise ModelError(f"{self.repository.root / name} can't be written ({error.strerror}); mend that") from error
        return self.repository.root / name / str(version)

    def _move(self, name: str, version: int) -> None:
        staged, target = self.root / name, self.repository.root / name
        if not target.exists():
            plan_store.write_variants(staged)
            staged.rename(target)
        else:
            (staged / str(version)).rename(target / str(version))
            self._move_warmup(name)
            self._switch(name)
        _sync_folder(self.repository.root)

    def serve(self, name: str, config: str) -> None:
        """Serve a published model by another configuration from now on.

        Raises:
            ModelError: The repository can't be written.
        """
        try:
            (self.root / name).mkdir(parents=True, exist_ok=True)
            _write(self.root / name / CONFIG_FILE, config.encode())
            self._switch(name)
        except OSError as error:
            raise ModelError(f"{self.repository.root / name} can't be written ({error.strerror}); mend that") from error

    def withdraw(self, name: str, version: int) -> None:
        """Take a version out of the repository again; the model with it, if that leaves none.

        Raises:
            ModelError: The repository can't be written.
        """
        target = self.repository.root / name
        taken = target if self.repository.versions(name) == [version] else target / str(version)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            taken.rename(self.root / f"withdrawn_{name}_{version}")
            _sync_folder(taken.parent)
        except OSError as error:
            raise ModelError(f"{taken} can't be taken out ({error.strerror}); mend that") from error

    def _switch(self, name: str) -> None:
        """Replace config.pbtxt by the staged one: the instant at which another version or configuration is served.

        `configs/` follows at once; a kill in between leaves servers with the version before or on ONNX Runtime.
        """
        target = self.repository.root / name
        left = _served_by(target / CONFIG_FILE)
        taken = _served_by(self.root / name / CONFIG_FILE)
        for version in left - taken:
            if (target / str(version)).is_dir():
                kept = self.root / name / f"{CONFIG_FILE}.kept"
                _write(kept, (target / CONFIG_FILE).read_bytes())
                kept.replace(target / str(version) / CONFIG_FILE)
                _sync_folder(target / str(version))
        plan_store.forget_variants(target, (self.root / name / CONFIG_FILE).read_text(encoding="utf-8"))
        _sync_folder(target)
        (self.root / name / CONFIG_FILE).replace(target / CONFIG_FILE)
        _sync_folder(target)
        for version in taken:
            (target / str(version) / CONFIG_FILE).unlink(missing_ok=True)  # of a served version, config.pbtxt says it
        plan_store.write_variants(target)

    def _move_warmup(self, name: str) -> None:
        """Files are named by their content, so that versions never contend for a name."""
        staged, target = self.root / name / WARMUP_FOLDER, self.repository.root / name / WARMUP_FOLDER
        if not staged.is_dir():
            return
        target.mkdir(exist_ok=True)
        for path in staged.iterdir():
            path.replace(target / path.name)
        _sync_folder(target)


@contextmanager
def staged(repository: Repository, waiting: Callable[[], None]) -> Generator[Stage]:
    """Hold a repository against other publishers and give a clean stage, which is gone afterwards.

    Args:
        repository: Its folder need not exist yet; one that holds nothing in the end is not left behind.
        waiting: Called once if another publisher holds it.

    Raises:
        ModelError: Another publisher holds it for longer than a minute, or the folder can't be written.
    """
    with folder_lock(repository.root, waiting):
        stage = Stage(repository)
        stage.clear()
        try:
            yield stage
        finally:
            stage.clear()


def _served_by(config: Path) -> set[int]:
    """Return the versions that a config.pbtxt names; none where there is no such file."""
    try:
        return set(triton_config.served_versions(triton_config.parse(config.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return set()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
