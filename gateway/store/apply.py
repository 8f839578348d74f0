"""Spooled records into the database: each once, however often they come."""

import datetime as dt
from collections.abc import Iterator, Sequence

from gateway.domain.event import Event, EventType
from gateway.domain.violation import Violation, ViolationClosed, ViolationOpened, ViolationRecord
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.rows import violation_columns, violation_of
from gateway.store.tables import ViolationRow

MAX_ROWS_PER_STATEMENT = 500
"""Both databases take some 32,700 parameters in a statement; a violation has 26."""


@database_call
async def apply_records(engine: DatabaseEngine, records: Sequence[ViolationRecord], now: dt.datetime) -> list[Event]:
    """Write records and their events in one transaction.

    A violation that is there already and an end that was noted already change nothing and give no event.

    Returns:
        The events written, in the order of the records.
    """
    events: list[Event] = []
    async with engine.transaction():
        for start in range(0, len(records), MAX_ROWS_PER_STATEMENT):
            chunk = records[start : start + MAX_ROWS_PER_STATEMENT]
            opened = await _insert([record.violation for record in chunk if isinstance(record, ViolationOpened)])
            closed = await _close([record for record in chunk if isinstance(record, ViolationClosed)])
            events += await write_events(engine, list(_entries(chunk, opened, closed)), now)
    return events


async def _insert(violations: Sequence[Violation]) -> set[str]:
    """Insert what isn't there; the ids that were not."""
    if not violations:
        return set()
    rows = [ViolationRow(**violation_columns(violation)) for violation in violations]
    insert = ViolationRow.insert(*rows).on_conflict(target=ViolationRow.id, action="DO NOTHING")
    return {row["id"] for row in await insert.returning(ViolationRow.id)}


async def _close(ends: Sequence[ViolationClosed]) -> dict[str, Violation]:
    """Note the ends of open episodes; the violations that have ended now."""
    closed: dict[str, Violation] = {}
    for end in ends:
        update = ViolationRow.update({"ended_at": end.ended_at, "score": end.score, "updated_at": end.at}).where(
            (ViolationRow.id == end.id) & ViolationRow.ended_at.is_null()
        )
        for row in await update.returning(*ViolationRow.all_columns()):
            closed[end.id] = violation_of(row)
    return closed


def _entries(
    records: Sequence[ViolationRecord], opened: set[str], closed: dict[str, Violation]
) -> Iterator[OutboxEntry]:
    """What became of the records; one that came twice in the chunk counts once."""
    for record in records:
        match record:
            case ViolationOpened(violation=violation) if violation.id in opened:
                opened.remove(violation.id)
                yield OutboxEntry(EventType.VIOLATION_OPENED, violation.camera_id, violation)
            case ViolationClosed(id=violation_id) if violation_id in closed:
                ended = closed.pop(violation_id)
                yield OutboxEntry(EventType.VIOLATION_CLOSED, ended.camera_id, ended)
            case _:
                pass
