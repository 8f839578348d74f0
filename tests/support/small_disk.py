"""A disk of a few megabytes that can be filled to the last byte, for tests that run as root."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted tmpfs and the file that fills it.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, leave_bytes: int = 0) -> None:
        """Take what is free but for some bytes; others may be writing meanwhile."""
        with self._ballast.open("wb") as file:
            while True:
                disk = os.statvfs(self.folder)
                with contextlib.suppress(OSError):
                    return os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - leave_bytes)

    def clear(self) -> None:
        """Give the space back."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(size_mb: int) -> Iterator[SmallDisk]:
    """A disk of that size during the block; the test is skipped where none can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="ruth-disk-"))
    folder.chmod(0o755)  # a server that runs as another user must get in
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder], check=False)
    try:
        if mounted.returncode:
            pytest.skip("no file system can be mounted here: run as root")
        yield SmallDisk(folder)
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()
