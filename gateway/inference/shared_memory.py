"""A region of system shared memory, cut into slots that each hold one frame."""

import fcntl
import mmap
import os
import secrets
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.domain.frame import UInt8Array

PREFIX = "ruth_ai_gateway"
QUARANTINE_S = 30.0
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives there


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Room for one frame: `pixels` is a flat uint8 view, `offset` its place in the region in bytes."""

    offset: int
    pixels: UInt8Array


class FrameSlots:
    """The slots of one region. A new region, with a new random name, is made for each connection.

    A slot whose call did not end with an answer may still be read by the server: it is quarantined for
    `QUARANTINE_S` before it is used again.

    Attributes:
        name: Name of the region; `/` + name is its POSIX key.
        slot_bytes: Room for one frame.
        byte_size: Size of the region in bytes.
    """

    def __init__(self, slot_bytes: int, count: int) -> None:
        """Create the region.

        Raises:
            OSError: There is no room in `/dev/shm`.
        """
        self.name = f"{PREFIX}_{os.getpid()}_{secrets.token_hex(8)}"
        self.slot_bytes = slot_bytes
        self.byte_size = slot_bytes * count
        whole = _create(SHARED_MEMORY / self.name, self.byte_size).reshape(count, slot_bytes)
        self._free = deque(Slot(i * slot_bytes, whole[i]) for i in range(count))
        self._quarantine: deque[tuple[float, Slot]] = deque()

    def acquire(self, byte_size: int, now_s: float) -> Slot | None:
        """Take a slot; None when none is free or the frame doesn't fit."""
        while self._quarantine and self._quarantine[0][0] <= now_s:
            self._free.append(self._quarantine.popleft()[1])
        return self._free.popleft() if self._free and byte_size <= self.slot_bytes else None

    def release(self, slot: Slot) -> None:
        """Give back a slot whose call was answered."""
        self._free.append(slot)

    def quarantine(self, slot: Slot, now_s: float) -> None:
        """Give back a slot that the server may still be reading."""
        self._quarantine.append((now_s + QUARANTINE_S, slot))

    def close(self) -> None:
        """Remove the region. Its memory goes with the last slot in use: a frame may be being written in a thread."""
        self._free.clear()
        self._quarantine.clear()
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
