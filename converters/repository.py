"""The model repository on disk: what is published, a stage beside it, and the step from one to the other.

    model_repository/people/config.pbtxt           names the one version that is served
    model_repository/people/3/{model.onnx,manifest.json}
    model_repository/people/2/config.pbtxt         of a version that was served before, kept for a rollback
    model_repository/people/warmup/frame_….nv12    what its configuration warms it up with
    .model_repository.staging/…                    beside it: Triton takes every folder inside for a model

A version becomes the served one by one rename: of the whole folder for a new model, of config.pbtxt for a new version
of a known one. A process killed at any instant leaves the old state or the new one.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from converters import plan_store, triton_config
from converters.errors import ModelError
from converters.manifest import MANIFEST_FILE

CONFIG_FILE = "config.pbtxt"
WARMUP_FOLDER = "warmup"
_LOCK_FILE = ".ruth-convert.lock"
_LOCK_TIMEOUT_S = 60.0
_LOCK_POLL_S = 0.2


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

    @contextmanager
    def locked(self, waiting: Callable[[], None]) -> Generator["Stage"]:
        """Hold the repository against other publishers and give a clean stage, which is gone afterwards.

        Args:
            waiting: Called once if another publisher holds it.

        Raises:
            ModelError: Another publisher holds it for longer than a minute, or the folder can't be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK_FILE).open("a")
        except OSError as error:
            raise ModelError(f"{self.root} can't be written ({error.strerror}); choose another --repository") from error
        with lock:
            _acquire(lock.fileno(), self.root, waiting)
            stage = Stage(self)
            stage.clear()
            try:
                yield stage
            finally:
                stage.clear()

    def stage_root(self) -> Path:
        """Return the folder beside the repository, or hidden in it where that is another file system."""
        beside = self.root.resolve().parent
        same = beside.stat().st_dev == self.root.stat().st_dev and os.access(beside, os.W_OK)
        return beside / f".{self.root.resolve().name}.staging" if same else self.root / ".staging"


@dataclass(frozen=True, slots=True)
class Stage:
    """A repository of one model that nobody serves yet, on the file system of the real one.

    Attributes:
        repository: Where it will be published.
    """

    repository: Repository

    @property
    def root(self) -> Path:
        """The folder that a trial Triton is given."""
        return self.repository.stage_root()

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
            staged.rename(target)
        else:
            (staged / str(version)).rename(target / str(version))
            self._move_warmup(name)
            self._switch(name)
        _sync_folder(self.repository.root)

    def serve(self, name: str, config: str) -> None:
        """Serve a published model by another configuration from now on; the one until now is kept for a rollback.

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
        """Replace config.pbtxt by the staged one: the instant at which another version or configuration is served."""
        target = self.repository.root / name
        served = self.repository.config(name)
        for version in triton_config.served_versions(triton_config.parse(served or "")):
            if served is not None and (target / str(version)).is_dir():
                kept = self.root / name / f"{CONFIG_FILE}.kept"
                _write(kept, served.encode())
                kept.replace(target / str(version) / CONFIG_FILE)
                _sync_folder(target / str(version))
        plan_store.forget_cpu_variant(target)
        _sync_folder(target)
        (self.root / name / CONFIG_FILE).replace(target / CONFIG_FILE)
        _sync_folder(target)
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


def _acquire(descriptor: int, root: Path, waiting: Callable[[], None]) -> None:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ModelError(f"another ruth-convert is publishing into {root}; wait for it, then repeat") from None
            if not told:
                waiting()
                told = True
            time.sleep(_LOCK_POLL_S)
        else:
            return


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
