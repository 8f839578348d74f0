"""The spool's records in batches, the next one read while the database takes the one before."""

import asyncio
from collections.abc import Sequence

from gateway.domain.ports import Spool
from gateway.domain.violation import ViolationRecord

Batch = Sequence[tuple[int, ViolationRecord]]
"""Records with their sequence numbers."""


class ReadAhead:
    """Gives batch after batch; it begins with the oldest record, and again when there are no more.

    Args:
        spool: Where records wait.
        limit: At most so many in a batch.
    """

    def __init__(self, spool: Spool, limit: int) -> None:
        self._spool = spool
        self._limit = limit
        self._ahead: asyncio.Task[Batch] | None = None

    async def next(self) -> Batch:
        """The records that follow those given before; when these are many, more are read meanwhile.

        Raises:
            SpoolError: They can't be read; the next call begins with the oldest again.
        """
        ahead, self._ahead = self._ahead, None
        batch = await (ahead or self._spool.oldest(self._limit))
        if len(batch) == self._limit:
            self._ahead = asyncio.create_task(self._read(after=batch[-1][0]))
        return batch

    def begin_again(self) -> None:
        """Forget what was read: the oldest records come next, as what was given may wait still."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.add_done_callback(_pass_over)
            ahead.cancel()

    async def _read(self, after: int) -> Batch:
        return await self._spool.oldest(self._limit, after)


def _pass_over(ahead: "asyncio.Task[Batch]") -> None:
    """What nobody waits for any more may fail."""
    if not ahead.cancelled():
        ahead.exception()
