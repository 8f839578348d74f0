"""Pictures and clips."""

from typing import Protocol


class EvidenceStore(Protocol):
    """Where pictures and clips of violations are kept."""

    async def put(self, name: str, content: bytes) -> str:
        """Keep a file under a name, durably and all or nothing; returns its sha256 (hex).

        Raises:
            StoreError: It can't be kept.
        """
        ...

    async def get(self, name: str) -> bytes:
        """Read a file; `NotFoundError` if there is none."""
        ...

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens where there is neither.

        Raises:
            StoreError: It can't be deleted.
        """
        ...

    async def used_share(self) -> float:
        """How much of the disk it lies on is used, by whatever, 0..1; 0 where nothing bounds it."""
        ...

    async def held_share(self) -> float:
        """How much of that disk the evidence itself takes, 0..1; 0 where nothing bounds it. Looks at every file."""
        ...
