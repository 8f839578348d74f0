"""Regions of system shared memory, and what is left of those whose owner was killed."""

import fcntl
import mmap
import os
import secrets
from pathlib import Path

import numpy as np

from gateway.domain.frame import UInt8Array

PREFIX = "ruth_ai_gateway"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives there


class SharedRegion:
    """A region of system shared memory under a new random name; its pages are there and zero.

    Attributes:
        name: Name of the region; `/` + name is its POSIX key.
        memory: Flat uint8 view of all of it.
    """

    def __init__(self, byte_size: int) -> None:
        """Create the region.

        Raises:
            OSError: There is no room in `/dev/shm`.
        """
        self.name = f"{PREFIX}_{os.getpid()}_{secrets.token_hex(8)}"
        self.memory = _create(SHARED_MEMORY / self.name, byte_size)

    def close(self) -> None:
        """Remove the region. Its memory goes with the last view of it."""
        (SHARED_MEMORY / self.name).unlink(missing_ok=True)


def _create(path: Path, byte_size: int) -> UInt8Array:
    """Map a new file, locked for as long as it is mapped.

    Its pages are reserved now, because a write to one that can't be had kills the process.
    """
    descriptor = _create_locked(path)
    try:
        os.posix_fallocate(descriptor, 0, byte_size)
        # Never closed explicitly: the array keeps the mapping alive, and a write after an unmap would be a crash.
        # The mapping has a duplicate of the descriptor, and with it the lock.
        return np.frombuffer(mmap.mmap(descriptor, byte_size), np.uint8)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _create_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another gateway, just starting, saw it before it was locked, and removed it


def remove_leftovers(directory: Path = SHARED_MEMORY) -> list[str]:
    """Remove the regions of gateways that were killed; returns their names.

    A gateway holds a lock on its region, which the kernel lets go of however the gateway ends. Process ids would not
    do: containers may share `/dev/shm` and each have their own.
    """
    return [path.name for path in directory.glob(f"{PREFIX}_*_*") if _remove_if_abandoned(path)]


def _remove_if_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:  # another user's, or gone
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:  # its owner lives, or another gateway is removing it
        return False
    finally:
        os.close(descriptor)
    return True
