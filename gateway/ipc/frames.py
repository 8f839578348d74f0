"""From the frame that a request refers to, to a private copy of it. Shared memory is only ever read."""

import os

import numpy as np

from gateway.domain.frame import Frame
from gateway.errors import InvalidInputError
from gateway.ipc.messages import InferenceRequest
from gateway.sources.shared_ring import (
    MAGIC,
    SHARED_MEMORY,
    Planes,
    SharedRing,
    check_nv12,
    nv12_planes,
    open_shared,
    shared_path,
)


def read_frame(request: InferenceRequest) -> Frame:
    """Copy the frame that a request refers to, from a ring or from a file that holds one bare NV12 picture.

    Raises:
        InvalidInputError: It is outside shared memory, of another size or format, or no longer there.
        SourceError: It can't be opened, or is no shared memory of frames.
    """
    metadata = request.frame_metadata
    if metadata.format != "NV12":
        raise InvalidInputError(f"the format of frames is NV12, not {metadata.format!r}")
    resolution_wh = metadata.width, metadata.height
    check_nv12(resolution_wh, metadata.width)
    folder, _, name = request.frame_reference.rpartition("/")
    if folder != str(SHARED_MEMORY):
        raise InvalidInputError(f"a frame_reference is {SHARED_MEMORY}/NAME, not {request.frame_reference!r}")
    path = shared_path(name)
    file = open_shared(path)
    try:
        if os.pread(file, len(MAGIC), 0) != MAGIC:
            return Frame(0, 0.0, request.timestamp, *_bare_picture(file, resolution_wh, request.frame_reference))
    finally:
        os.close(file)
    return Frame(0, 0.0, request.timestamp, *_ring_picture(name, metadata.frame_id, resolution_wh))


def _ring_picture(name: str, number: int, resolution_wh: tuple[int, int]) -> Planes:
    ring = SharedRing(name)
    try:
        if ring.resolution_wh != resolution_wh:
            raise InvalidInputError(f"frames of {name} are {_size(ring.resolution_wh)}, not {_size(resolution_wh)}")
        planes = ring.read(number)
        if planes is None:
            raise InvalidInputError(f"frame {number} isn't in {name}; the newest is {ring.newest()}")
        return planes
    finally:
        ring.close()


def _bare_picture(file: int, resolution_wh: tuple[int, int], reference: str) -> Planes:
    width, height = resolution_wh
    needed, size = width * height * 3 // 2, os.fstat(file).st_size
    pixels = np.empty(needed, np.uint8)
    if size != needed or os.preadv(file, [pixels.data], 0) != needed:
        raise InvalidInputError(
            f"{reference} is no ring, and with {size} bytes no NV12 picture of {_size(resolution_wh)} ({needed} bytes)"
        )
    return nv12_planes(pixels, resolution_wh, width)


def _size(resolution_wh: tuple[int, int]) -> str:
    return f"{resolution_wh[0]} x {resolution_wh[1]}"
