"""The producer of shared frames and the client of models' sockets that the documentation shows, run as they stand."""

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.domain.frame import Frame

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "shared-memory.md"


def documented(mark: str) -> dict[str, Any]:
    """What the Python block after a mark of the document defines."""
    block = re.search(rf"<!-- {mark}:.*?```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(compile(block[1], str(DOCUMENT), "exec"), names)
    return names


Ring: Any = documented("producer")["Ring"]


def documented_client() -> Any:
    """The client of models' sockets."""
    return documented("client")["ask"]


@contextlib.contextmanager
def ring_name() -> Iterator[str]:
    """A name that nobody uses, in shared memory; what was made under it is removed."""
    name = f"ruth_test_{os.getpid()}_{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        (Path("/dev/shm") / name).unlink(missing_ok=True)


def grey_nv12(width: int, height: int, value: int) -> bytes:
    """A picture whose every byte is `value`."""
    return bytes([value]) * (width * height * 3 // 2)


def to_nv12(frame: Frame) -> bytes:
    """A frame's planes as one NV12 picture."""
    chroma = np.stack([frame.chroma_u, frame.chroma_v], axis=-1)
    return frame.luma.tobytes() + chroma.tobytes()


@contextlib.contextmanager
def producing(name: str, fps: float = 50, size_wh: tuple[int, int] = (64, 48)) -> Iterator[None]:
    """Write frames under a name during the block, each of one grey."""
    ring, stop = Ring(name, *size_wh), threading.Event()

    def write() -> None:
        while not stop.wait(1 / fps):
            ring.write(grey_nv12(*size_wh, ring.number % 256))

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(ring.file)
