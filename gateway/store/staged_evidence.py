"""Evidence on its way into a bucket: on disk first, so that nothing waits for the service or is lost with it."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from gateway.domain.ports import EvidenceStore
from gateway.errors import NotFoundError, StoreError
from gateway.store.evidence import EvidenceFolder

_logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Files that are uploaded side by side."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@dataclass(frozen=True, slots=True)
class Staged:
    """What waits on disk.

    Attributes:
        files: How many files.
        bytes: How large they are together.
        fault: Why they wait; empty while they go.
    """

    files: int
    bytes: int
    fault: str


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One writing of a file of so many bytes."""

    size: int


class StagedEvidence:
    """Implements `gateway.domain.ports.EvidenceStore` by a folder in front of another store.

    A file counts as kept once it is synced in the folder. `run` takes it to the store and then out of the folder;
    whatever ends the process in between, it is in one of them, or in both with the same content.

    Args:
        folder: Where files wait; this gateway's own.
        remote: Where they go.
        limit_bytes: So much may wait; beyond it `put` refuses.
        jitter: Gives a number in [0, 1) that a pause is multiplied by, so that replicas don't come back at once.
    """

    def __init__(
        self,
        folder: EvidenceFolder,
        remote: EvidenceStore,
        limit_bytes: int,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._folder = folder
        self._remote = remote
        self._limit_bytes = limit_bytes
        self._jitter = jitter
        self._waiting = {name: _Waiting(size) for name, size in folder.sizes().items()}
        self._bytes = sum(waiting.size for waiting in self._waiting.values())
        self._work = asyncio.Event()
        self._moving = asyncio.Lock()  # held while files are uploaded, which may take as long as a time-out
        self._files = asyncio.Lock()  # held while the folder is changed, which is soon over
        self._failures = 0
        self._fault = ""

    @property
    def staged(self) -> Staged:
        """What waits on disk now."""
        return Staged(len(self._waiting), self._bytes, self._fault)

    async def ping(self) -> None:
        """Do nothing while evidence goes where it should.

        Raises:
            StoreError: It waits on disk; says how much of it, and why.
        """
        staged = self.staged
        if staged.fault:
            share = f"{staged.bytes >> 20} of {self._limit_bytes >> 20} MiB"
            raise StoreError(f"{staged.files} files of evidence ({share}) wait on disk: {staged.fault}")

    async def put(self, name: str, content: bytes) -> str:
        """Keep a file under a name, durably and all or nothing; returns its sha256 (hex).

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be kept, or too much waits already.
        """
        if self._bytes + len(content) > self._limit_bytes:
            why = self._fault or "more comes than goes"
            raise StoreError(f"{self._limit_bytes >> 20} MiB of evidence wait on disk already: {why}")
        async with self._files:
            sha256 = await self._folder.put(name, content)
            self._forget(name)
            self._waiting[name] = _Waiting(len(content))
            self._bytes += len(content)
        self._work.set()
        return sha256

    async def get(self, name: str) -> bytes:
        """Read a file, from wherever it is.

        Raises:
            InvalidInputError: The name is no plain relative path.
            NotFoundError: There is no such file.
            StoreError: It can't be read.
        """
        try:
            return await self._folder.get(name)
        except NotFoundError:
            return await self._remote.get(name)

    async def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it, in both places; nothing happens where there is neither.

        Raises:
            InvalidInputError: The name is no plain relative path.
            StoreError: It can't be deleted.
        """
        async with self._moving:
            async with self._files:
                await self._folder.delete(name)
                for waiting in [each for each in self._waiting if f"{each}/".startswith(f"{name}/")]:
                    self._forget(waiting)
            await self._remote.delete(name)

    async def used_share(self) -> float:
        """As the store says."""
        return await self._remote.used_share()

    async def held_share(self) -> float:
        """As the store says."""
        return await self._remote.held_share()

    async def run(self) -> None:
        """Move what waits, then whatever comes, until cancelled."""
        self._work.set()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                await self._move_some()

    async def _move_some(self) -> None:
        """Move the oldest files, or pause after a failure. Nothing is deleted meanwhile."""
        async with self._moving:
            names = [*islice(self._waiting, AT_ONCE)]
            failures = [error for error in await asyncio.gather(*map(self._move, names)) if error is not None]
        if not failures:
            self._failures, self._fault = 0, ""
            return
        self._failures += 1
        self._fault = str(failures[0])
        _logger.warning("evidence waits on disk", extra={"files": len(self._waiting), "reason": self._fault})
        longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._failures - 1, 16))
        await asyncio.sleep(longest_s * self._jitter())

    async def _move(self, name: str) -> StoreError | None:
        """Move one file; why it stays, where it does."""
        moved = self._waiting[name]
        try:
            await self._remote.put(name, await self._folder.get(name))
            async with self._files:
                if self._waiting[name] is moved:  # else it has been put again, and goes again
                    await self._folder.take_out(name)
                    self._forget(name)
        except NotFoundError:
            _logger.warning("evidence that waited was removed by another hand", extra={"file": name})
            self._forget(name)
        except StoreError as error:
            return error
        return None

    def _forget(self, name: str) -> None:
        """It waits no more, if it did."""
        waiting = self._waiting.pop(name, None)
        self._bytes -= waiting.size if waiting else 0
