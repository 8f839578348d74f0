"""Who has come how far in the outbox."""

import datetime as dt
from typing import TypeAlias

from piccolo.columns import Or, Where
from piccolo.querystring import QueryString

from gateway.domain.clock import Clock
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import last_event_number
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.tables import CursorRow, WebhookRow

HOLD = dt.timedelta(seconds=30)
"""A replica that sends nothing more and doesn't say so is replaced after this."""

Now: TypeAlias = dt.datetime | QueryString
"""A time, or an expression for it that PostgreSQL reckons as often as it looks at a row."""


def shared_now(engine: DatabaseEngine, clock: Clock) -> Now:
    """The time that all who use a database agree on: PostgreSQL's; on SQLite, where a gateway is alone, its own.

    PostgreSQL's belongs into the statement that claims. Asked for before, it may be older than another's claim.
    """
    return QueryString("clock_timestamp()") if isinstance(engine, PooledPostgresEngine) else clock.utcnow()


def may_hold(table: type[CursorRow | WebhookRow], holder: str, now: Now) -> Where | Or:
    """Whether somebody may take or keep a claim: it is theirs, or nobody's, or ends far later than any made now.

    The last was made by a clock that was ahead, and would hold for as long. One that is ahead by less than `HOLD` is
    left its claim, as it may belong to a replica that lives.
    """
    until = table.held_until
    return (table.holder == holder) | until.is_null() | (until < now) | (until > now + 2 * HOLD)


class PiccoloCursors:
    """Implements `gateway.domain.ports.CursorStore`, in the database that the tables are bound to.

    Args:
        engine: Its engine.
        clock: Tells the time for records, and on SQLite how long a claim holds.
    """

    def __init__(self, engine: DatabaseEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @database_call
    async def hold(self, name: str, holder: str) -> int | None:
        """Take or keep the right to send for 30 s; the number of the last event that is done with, None if refused."""
        if not await CursorRow.exists().where(CursorRow.name == name):
            await self._begin(name, self._clock.utcnow())
        now = shared_now(self._engine, self._clock)
        update = CursorRow.update(holder=holder, held_until=now + HOLD)
        rows = await update.where(CursorRow.name == name, may_hold(CursorRow, holder, now)).returning(CursorRow.number)
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
