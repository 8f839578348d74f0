"""One writer of a folder at a time, across processes."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from converters.errors import ModelError

LOCK_FILE = ".ruth-convert.lock"
_TIMEOUT_S = 60.0
_POLL_S = 0.2


@contextmanager
def folder_lock(folder: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Hold a folder, made for it where there is none; one that holds nothing else in the end is removed again.

    Args:
        folder: To hold.
        waiting: Called once if another process holds it.

    Raises:
        ModelError: Another process holds it for longer than a minute, or it can't be written.
    """
    descriptor = _held(folder, waiting)
    try:
        yield
    finally:
        _remove_if_empty(folder)
        os.close(descriptor)


def _held(folder: Path, waiting: Callable[[], None]) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    told = False
    while True:
        descriptor = _attempt(folder)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise ModelError(f"another ruth-convert is publishing into {folder}; wait for it, then repeat")
        if not told:
            waiting()
            told = True
        time.sleep(_POLL_S)


def _attempt(folder: Path) -> int | None:
    """Return the descriptor of the locked file, None where another holds it or just removed it."""
    path = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{folder} can't be written ({error.strerror}); choose another --repository") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds the lock alone; whoever waits for it sees that and makes another."""
    with contextlib.suppress(OSError):  # such a one may be making it just now
        if [path.name for path in folder.iterdir()] == [LOCK_FILE]:
            (folder / LOCK_FILE).unlink()
            folder.rmdir()
