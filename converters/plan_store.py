"""Plans and configuration variants on disk: a version gains a plan, and its manifest's word on it, in one step."""

import ctypes
import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from converters import manifest, plan_layout, triton_config
from converters.errors import ModelError
from converters.plan_layout import CONFIGS_FOLDER, CPU_CONFIG, CUDA_CONFIG, PlanRecord

_AT_FDCWD = -100  # fcntl.h
_RENAME_EXCHANGE = 2  # linux/fs.h
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def add_plan(model_folder: Path, version: int, stage: Path, plan: bytes, record: PlanRecord) -> None:
    """Put a plan into a version folder, in place of one of the same name, and write the configuration variants.

    The folder's successor is made beside it out of hard links and exchanged with it, so that a process killed at any
    instant leaves a version without the plan or with it. Nothing loads the plan before `configs/` names it, last.

    Args:
        model_folder: Of the model in its repository.
        version: That the plan was built from; its config.pbtxt is the served one.
        stage: Folder on the same file system that may be written.
        plan: The plan.
        record: What the manifest shall say of it.

    Raises:
        ModelError: The repository can't be written.
    """
    folder, successor = model_folder / str(version), stage / f"{model_folder.name}_{version}"
    fields = plan_layout.with_plan(manifest.read(folder), record)
    try:
        shutil.rmtree(successor, ignore_errors=True)
        shutil.copytree(folder, successor, copy_function=os.link)
        _replace(successor / record.file, plan)
        _replace(successor / manifest.MANIFEST_FILE, (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode())
        _sync(successor)
        _exchange(folder, successor)
        _sync(model_folder)
        shutil.rmtree(successor, ignore_errors=True)
    except OSError as error:
        raise ModelError(f"{folder} can't be written ({error.strerror}); mend that") from error
    write_variants(model_folder)


def write_variants(model_folder: Path) -> None:
    """Write what `configs/` is to hold for the served version.

    Raises:
        ModelError: The repository can't be written, or the version has no manifest.
    """
    text = (model_folder / "config.pbtxt").read_text(encoding="utf-8")
    write_configs(model_folder, _variants(model_folder, text))


def _variants(model_folder: Path, text: str) -> dict[str, str]:
    """Return the files of `configs/` that go with the text of a config.pbtxt."""
    config = triton_config.parse(text)
    versions = triton_config.served_versions(config)
    if not versions:
        return {}
    return plan_layout.variants(config, plan_layout.plans_of(manifest.read(model_folder / str(versions[-1]))))


def write_configs(model_folder: Path, texts: Mapping[str, str]) -> None:
    """Write files of `configs/`, each by one rename.

    Raises:
        ModelError: The repository can't be written.
    """
    folder = model_folder / CONFIGS_FOLDER
    try:
        for file, text in texts.items():
            folder.mkdir(exist_ok=True)
            _replace(folder / file, text.encode())
    except OSError as error:
        raise ModelError(f"{folder} can't be written ({error.strerror}); mend that") from error


def forget_variants(model_folder: Path, text: str) -> None:
    """Take away, before another config.pbtxt is served, what would keep servers from following it.

    Without a variant Triton reads config.pbtxt. `configs/cuda.pbtxt` stays where the other version has plans, which
    replace it in one step: no GPU is to fall back to ONNX Runtime meanwhile.

    Args:
        model_folder: Of the model in its repository.
        text: Of the config.pbtxt that will be served.

    Raises:
        ModelError: The version that it names has no manifest.
    """
    folder = model_folder / CONFIGS_FOLDER
    replaced = {CUDA_CONFIG} & _variants(model_folder, text).keys()
    if folder.is_dir():
        for file in {CPU_CONFIG, CUDA_CONFIG} - replaced:
            (folder / file).unlink(missing_ok=True)
        _sync(folder)


def _replace(path: Path, data: bytes) -> None:
    """Write a file through to the disk, then rename it into place; a hard link's other name keeps the old content."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _exchange(folder: Path, successor: Path) -> None:
    """Exchange two folders at one instant; where the file system can't (NFS), by two renames."""
    libc = ctypes.CDLL(None, use_errno=True)
    old, new = os.fsencode(folder), os.fsencode(successor)
    if libc.renameat2(_AT_FDCWD, new, _AT_FDCWD, old, _RENAME_EXCHANGE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _NO_EXCHANGE:
        raise OSError(code, os.strerror(code))
    aside = successor.with_name(f"{successor.name}_old")
    folder.rename(aside)
    successor.rename(folder)
    aside.rename(successor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
