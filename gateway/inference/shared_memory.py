"""A region of system shared memory, cut into slots that each hold one frame."""

import os
import secrets
from collections import deque
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from gateway.domain.frame import UInt8Array

PREFIX = "ruth_ai_gateway"
QUARANTINE_S = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """Room for one frame: `pixels` is a flat uint8 view, `offset` its place in the region in bytes."""

    offset: int
    pixels: UInt8Array


class FrameSlots:
    """The slots of one region. A new region, with a new random name, is made for each connection.

    A slot whose call did not end with an answer may still be read by the server: it is quarantined for
    `QUARANTINE_S` before it is used again.
    """

    def __init__(self, slot_bytes: int, count: int) -> None:
        """Create the region.

        Raises:
            OSError: There is no room in `/dev/shm`.
        """
        self._memory = SharedMemory(
            f"{PREFIX}_{os.getpid()}_{secrets.token_hex(8)}", create=True, size=slot_bytes * count
        )
        self.slot_bytes = slot_bytes
        whole: UInt8Array = np.ndarray((count, slot_bytes), np.uint8, buffer=self._memory.buf)
        self._free = deque(Slot(i * slot_bytes, whole[i]) for i in range(count))
        self._quarantine: deque[tuple[float, Slot]] = deque()

    @property
    def name(self) -> str:
        """Name of the region; `/` + name is its POSIX key."""
        return self._memory.name

    @property
    def byte_size(self) -> int:
        """Size of the region in bytes."""
        return self._memory.size

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
        """Remove the region. A frame being written in another thread keeps its mapping alive until it is done."""
        self._free.clear()
        self._quarantine.clear()
        self._memory.unlink()
        try:
            self._memory.close()
        except BufferError:
            return  # a view is still in use; the mapping goes with it, the name is gone already


def remove_leftovers(directory: Path = Path("/dev/shm")) -> list[str]:  # noqa: S108 - POSIX shared memory lives there
    """Remove the regions of gateways that were killed; returns their names."""
    removed: list[str] = []
    for path in directory.glob(f"{PREFIX}_*_*"):
        owner = path.name.removeprefix(f"{PREFIX}_").split("_")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed
