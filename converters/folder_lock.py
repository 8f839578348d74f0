"""One writer of a folder at a time, across processes."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from converters.errors import ModelError

LOCK_FILE = ".ruth-convert.lock"
_TIMEOUT_S = 60.0
_POLL_S = 0.2


@contextmanager
def folder_lock(folder: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Hold a folder, made for it where there is none; what was made and holds nothing in the end is removed again.

    Args:
        folder: To hold.
        waiting: Called once if another process holds it.

    Raises:
        ModelError: Another process holds it for longer than a minute, or it can't be written.
    """
    made: list[Path] = []
    descriptor = _held(folder, waiting, made)
    try:
        yield
    finally:
        _tidy(folder, made)
        os.close(descriptor)


def _held(folder: Path, waiting: Callable[[], None], made: list[Path]) -> int:
    """Return the descriptor of the locked file; the folders made for it are added to `made`, outermost first."""
    deadline = time.monotonic() + _TIMEOUT_S
    told = False
    while True:
        descriptor = _attempt(folder, made)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise ModelError(f"another ruth-convert is publishing into {folder}; wait for it, then repeat")
        if not told:
            waiting()
            told = True
        time.sleep(_POLL_S)


def _attempt(folder: Path, made: list[Path]) -> int | None:
    """Return the descriptor of the locked file, None where another holds it or just removed it."""
    path = folder / LOCK_FILE
    try:
        _make(folder, made)
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


def _make(folder: Path, made: list[Path]) -> None:
    for path in (*reversed(folder.parents), folder):
        if not path.is_dir():
            with contextlib.suppress(FileExistsError):  # by another, just now
                path.mkdir()
                made.append(path)


def _tidy(folder: Path, made: Sequence[Path]) -> None:
    """Remove a lock that lies alone, then what was made and is empty; whoever waits for it sees that and makes another.

    A folder of the user's own stays, empty or not.
    """
    with contextlib.suppress(OSError):  # another may be making its lock just now
        if [path.name for path in folder.iterdir()] == [LOCK_FILE]:
            (folder / LOCK_FILE).unlink()
        for path in reversed(made):
            path.rmdir()
