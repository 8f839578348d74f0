"""Pictures of violations as files in a folder."""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import uuid
from pathlib import Path

from gateway.domain.clock import Clock, SystemClock
from gateway.errors import InvalidInputError, NotFoundError, StoreError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9][A-Za-z0-9._-]{0,127}){0,7}")
_INCOMING = ".incoming"

LEFT_OVER_S = 3600.0
"""Writing a file takes seconds; clocks of machines that share a folder may differ by minutes."""


def check_name(name: str) -> None:
    """Refuse what could lead out of the store, or to what isn't shown.

    Raises:
        InvalidInputError: The name is no plain relative path.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name!r} is no evidence name: letters, digits, '.', '_' and '-', parts joined by '/', none hidden"
        )


class EvidenceFolder:
    """Implements `gateway.domain.ports.EvidenceStore`: a name is a path below the root, its parts joined by `/`.

    Files are written in `.incoming` and renamed, so that a name leads to a whole file or to none. What a killed
    process left in `.incoming` is removed when the folder is opened an hour later or more: what is younger may be
    another gateway's that is writing it now.

    Args:
        root: The folder; made if it isn't there. Several gateways may have it in common.
        clock: Tells how old a file is.

    Raises:
        StoreError: The folder can't be made or written.
    """

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            _remove_left_over(self._incoming, (clock or SystemClock()).utcnow().timestamp() - LEFT_OVER_S)
        except OSError as error:
            raise StoreError(f"the evidence folder {root} can't be used: {error.strerror}") from error

    async def put(self, name: str, content: bytes) -> str:
        """Keep a file under a name, durably and all or nothing; returns its sha256 (hex).

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be kept.
        """
        path = self._path(name)
        try:
            return await asyncio.to_thread(self._write, path, content)
        except OSError as error:
            raise StoreError(f"evidence {name} can't be kept: {error.strerror}") from error

    async def get(self, name: str) -> bytes:
        """Read a file; `NotFoundError` if there is none.

        Raises:
            InvalidInputError: The name is no plain relative path.
            NotFoundError: There is no such file.
            StoreError: It can't be read.
        """
        path = self._path(name)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NotFoundError(f"there is no evidence {name}") from error
        except OSError as error:
            raise StoreError(f"evidence {name} can't be read: {error.strerror}") from error

    async def has(self, name: str) -> bool:
        """Whether there is such a file or folder.

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be told.
        """
        path = self._path(name)
        try:
            return await asyncio.to_thread(path.exists)
        except OSError as error:
            raise StoreError(f"evidence {name} can't be looked for: {error.strerror}") from error

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens where there is neither.

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be deleted.
        """
        path = self._path(name)
        try:
            await asyncio.to_thread(_remove, path)
        except OSError as error:
            raise StoreError(f"evidence {name} can't be deleted: {error.strerror}") from error

    async def take_out(self, name: str) -> None:
        """Delete a file and the folders that this leaves empty; not to be called beside `put`.

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be deleted.
        """
        await self.delete(name)
        await asyncio.to_thread(_remove_empty, self._path(name).parent, self._root)

    async def used_share(self) -> float:
        """How much of the disk it lies on is used, by whatever, 0..1; 0 where that doesn't tell its size.

        Raises:
            StoreError: The disk is away.
        """
        disk = await self._disk()
        return 1 - disk.f_bavail / disk.f_blocks if disk.f_blocks else 0.0

    async def held_share(self) -> float:
        """How much of that disk its files take, 0..1; 0 likewise. Looks at every file.

        Raises:
            StoreError: The disk is away.
        """
        disk = await self._disk()
        held = await asyncio.to_thread(_bytes_below, self._root)
        return held / (disk.f_blocks * disk.f_frsize) if disk.f_blocks else 0.0

    def sizes(self) -> dict[str, int]:
        """Every file's size in bytes by name, oldest name first. Blocking."""
        files = {path.relative_to(self._root).as_posix(): path for path in self._root.rglob("*") if path.is_file()}
        return {name: files[name].stat().st_size for name in sorted(files) if _NAME.fullmatch(name)}

    async def _disk(self) -> os.statvfs_result:
        try:
            return await asyncio.to_thread(os.statvfs, self._root)
        except OSError as error:
            raise StoreError(f"the disk of the evidence folder {self._root} is away: {error.strerror}") from error

    def _path(self, name: str) -> Path:
        check_name(name)
        return self._root / name

    def _write(self, path: Path, content: bytes) -> str:
        temporary = self._incoming / uuid.uuid4().hex
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._make_folders(path.parent)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        return hashlib.sha256(content).hexdigest()

    def _make_folders(self, folder: Path) -> None:
        """Make a folder below the root; each new entry is synced, or a power cut takes the folder with its files."""
        if folder.is_dir():
            return
        self._make_folders(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _remove_left_over(incoming: Path, before_s: float) -> None:
    for path in incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):  # renamed by who writes it, or removed by who opens, too
            if path.stat().st_mtime < before_s:
                path.unlink()


def _bytes_below(folder: Path) -> int:
    """What the files below a folder hold, some of which may go meanwhile."""
    held = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                held += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118 - of maybe a million
    return held


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_empty(folder: Path, root: Path) -> None:
    with contextlib.suppress(OSError):  # it isn't empty
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
