"""A ring of NV12 frames that another program keeps in `/dev/shm`; its layout is in docs/shared-memory.md.

The ring is read with `pread`, never mapped: reading what its producer cuts off is a short read here, where in a mapping
it would be a SIGBUS that ends the process. It costs the one copy that frames need anyway, as the producer goes on
writing. The sequence numbers around the copy prove that it is whole (a seqlock).
"""

import os
import stat
import struct
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gateway.domain.frame import UInt8Array
from gateway.errors import InvalidInputError, SourceFormatError, SourceUnavailableError

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - POSIX shared memory lives there
MAGIC = b"RUTHNV12"
VERSION = 1
MAX_SLOTS = 1024
MAX_SIDE_PX = 16_384
MAX_FRAME_BYTES = 100_000_000

_GEOMETRY = struct.Struct("<8s5I")  # magic, version, slots, width, height, stride
_HEADER = struct.Struct("<8s5I4xQ")  # the geometry, and the number of the newest frame
_SLOT_HEADER = struct.Struct("<Qq")  # sequence, timestamp in ns
HEADER_BYTES = SLOT_HEADER_BYTES = 64


Planes: TypeAlias = tuple[UInt8Array, UInt8Array, UInt8Array]
"""Y `(H, W)`, U and V `(H/2, W/2)`, uint8."""


def nv12_planes(pixels: UInt8Array, resolution_wh: tuple[int, int], stride: int) -> Planes:
    """View rows of `stride` bytes, luma before interleaved chroma, as planes."""
    width, height = resolution_wh
    rows = pixels.reshape(height * 3 // 2, stride)
    chroma = rows[height:, :width].reshape(height // 2, width // 2, 2)
    return rows[:height, :width], chroma[..., 0], chroma[..., 1]


class SharedRing:
    """One producer's ring, open for reading.

    Args:
        name: Of the file in `/dev/shm`.

    Raises:
        InvalidInputError: The name is no plain file name.
        SourceUnavailableError: There is no such file, or its producer hasn't finished it.
        SourceFormatError: It is no ring of this layout.

    Attributes:
        resolution_wh: Width and height of its frames in pixels.
    """

    resolution_wh: tuple[int, int]
    _slots: int
    _stride: int
    _frame_bytes: int

    def __init__(self, name: str) -> None:
        self._path = shared_path(name)
        self._file = open_shared(self._path)
        try:
            self._geometry = self._read(0, _GEOMETRY.size)
            self._check_geometry()
        except BaseException:
            os.close(self._file)
            raise

    def newest(self) -> int:
        """Number of the newest whole frame; 0 before the first.

        Raises:
            SourceUnavailableError: The ring was cut off, or its layout changed in place.
        """
        header = self._read(0, _HEADER.size)
        if header[: _GEOMETRY.size] != self._geometry:
            raise SourceUnavailableError(f"{self._path} has changed its layout")
        *_, number = _HEADER.unpack(header)
        return int(number)

    def timestamp_ns(self, number: int) -> int | None:
        """When a frame was taken; None where it isn't in the ring any more, or not yet.

        Raises:
            SourceUnavailableError: The ring was cut off.
        """
        sequence, timestamp_ns = _SLOT_HEADER.unpack(self._read(self._offset(number), _SLOT_HEADER.size))
        return int(timestamp_ns) if sequence == 2 * number > 0 else None

    def read(self, number: int) -> Planes | None:
        """Copy a frame; None where it isn't in the ring any more, not yet, or was overwritten meanwhile.

        Raises:
            SourceUnavailableError: The ring was cut off.
        """
        offset = self._offset(number)
        timestamp_ns = self.timestamp_ns(number)
        if timestamp_ns is None:
            return None
        pixels = np.empty(self._frame_bytes, np.uint8)
        if os.preadv(self._file, [pixels.data], offset + SLOT_HEADER_BYTES) != self._frame_bytes:
            raise SourceUnavailableError(f"{self._path} has shrunk")
        if self.timestamp_ns(number) is None:
            return None
        return nv12_planes(pixels, self.resolution_wh, self._stride)

    def replaced(self) -> bool:
        """Whether the name stands for another file by now, or for none: its producer has gone or started anew."""
        try:
            there = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return True
        here = os.fstat(self._file)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Let go of the file; once."""
        os.close(self._file)

    def _read(self, offset: int, size: int) -> bytes:
        content = os.pread(self._file, size, offset)
        if len(content) != size:
            raise SourceUnavailableError(f"{self._path} is too short to be whole; its producer may be making it")
        return content

    def _offset(self, number: int) -> int:
        return HEADER_BYTES + number % self._slots * (SLOT_HEADER_BYTES + self._frame_bytes)

    def _check_geometry(self) -> None:
        magic, version, self._slots, width, height, self._stride = _GEOMETRY.unpack(self._geometry)
        if magic == bytes(len(MAGIC)):
            raise SourceUnavailableError(f"{self._path} is still being made")
        if magic != MAGIC or version != VERSION:
            raise SourceFormatError(f"{self._path} is no ring of NV12 frames of version {VERSION} ({MAGIC.decode()})")
        if not 2 <= self._slots <= MAX_SLOTS:
            raise SourceFormatError(f"{self._path} has {self._slots} slots, not 2 to {MAX_SLOTS}")
        self.resolution_wh = width, height
        check_nv12(self.resolution_wh, self._stride)
        self._frame_bytes = self._stride * height * 3 // 2
        needed = HEADER_BYTES + self._slots * (SLOT_HEADER_BYTES + self._frame_bytes)
        if (size := os.fstat(self._file).st_size) < needed:
            raise SourceFormatError(f"{self._path} has {size} bytes; its header promises {needed}")


def check_nv12(resolution_wh: tuple[int, int], stride: int) -> None:
    """Refuse sizes that are no NV12 picture.

    Raises:
        SourceFormatError: A side is odd, zero or too long, or rows are shorter than the picture is wide.
    """
    width, height = resolution_wh
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX) or width % 2 or height % 2:
        raise SourceFormatError(f"{width} x {height} is no NV12 picture: sides are even, 2 to {MAX_SIDE_PX} pixels")
    if stride < width or stride * height * 3 // 2 > MAX_FRAME_BYTES:
        raise SourceFormatError(f"rows of {stride} bytes don't do for {width} x {height} pixels")


def shared_path(name: str) -> Path:
    """Path of a shared-memory file.

    Raises:
        InvalidInputError: The name could lead elsewhere.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(name) > 200:
        raise InvalidInputError(f"{name!r} is no name of a file in {SHARED_MEMORY}; give it without folders")
    return SHARED_MEMORY / name


def open_shared(path: Path) -> int:
    """Open a shared-memory file for reading; returns its descriptor.

    Raises:
        SourceUnavailableError: It isn't there, or may not be read.
        SourceFormatError: It is a link, a folder, a pipe or the like.
    """
    try:
        # O_NONBLOCK: opening a pipe would wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SourceUnavailableError(f"there is no {path}; its producer isn't running") from error
    except PermissionError as error:
        raise SourceUnavailableError(f"{path} may not be read by this user; its producer sets who may") from error
    except OSError as error:
        raise SourceFormatError(f"{path} is no plain file of shared memory: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SourceFormatError(f"{path} is no plain file of shared memory")
    return descriptor
