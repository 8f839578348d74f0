"""Who has come how far in the outbox."""

import datetime as dt

from gateway.domain.clock import Clock
from gateway.store.database_errors import database_call
from gateway.store.outbox import last_event_number
from gateway.store.tables import CursorRow

HOLD = dt.timedelta(seconds=30)
"""A replica that sends nothing more and doesn't say so is replaced after this."""


class PiccoloCursors:
    """Implements `gateway.domain.ports.CursorStore`, in the database that the tables are bound to.

    Args:
        clock: Tells how long a claim holds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @database_call
    async def hold(self, name: str, holder: str) -> int | None:
        """Take or keep the right to send for 30 s; the number of the last event that is done with, None if refused."""
        now = self._clock.utcnow()
        if not await CursorRow.exists().where(CursorRow.name == name):
            await self._begin(name, now)
        free = (CursorRow.holder == holder) | CursorRow.held_until.is_null() | (CursorRow.held_until < now)
        update = CursorRow.update(holder=holder, held_until=now + HOLD).where((CursorRow.name == name) & free)
        rows = await update.returning(CursorRow.number)
        return rows[0]["number"] if rows else None

    @database_call
    async def advance(self, name: str, number: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        update = CursorRow.update(number=number, updated_at=self._clock.utcnow())
        await update.where((CursorRow.name == name) & (CursorRow.number < number))

    @database_call
    async def release(self, holder: str) -> None:
        """Give up the right to send by any of them."""
        await CursorRow.update(held_until=None).where(CursorRow.holder == holder)

    async def _begin(self, name: str, now: dt.datetime) -> None:
        """A new cursor stands at the newest event: what happens from now on comes after it."""
        row = CursorRow(name=name, number=await last_event_number(), holder="", updated_at=now)
        await CursorRow.insert(row).on_conflict(target=CursorRow.name, action="DO NOTHING")
