"""Spooled records into the database: each once, however often they come."""

import datetime as dt
from collections.abc import Iterator, Sequence

from piccolo.columns import And, Or, Where

from gateway.domain.event import Event, EventType
from gateway.domain.violation import (
    AuditAction,
    AuditEntry,
    ClipTaken,
    Violation,
    ViolationClosed,
    ViolationOpened,
    ViolationRecord,
    ViolationUpdated,
)
from gateway.store.audit import GATEWAY, write_audit
from gateway.store.bulk import insert_rows
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.rows import Changes, json_text, update_columns, violation_columns, violation_of
from gateway.store.tables import ViolationRow

MAX_ROWS_PER_STATEMENT = 500
"""Both databases take some 32,700 parameters in a statement; a violation has 31."""


@database_call
async def apply_records(engine: DatabaseEngine, records: Sequence[ViolationRecord], now: dt.datetime) -> list[Event]:
    """Write records and their events in one transaction.

    A violation that is there already and a change that was made already change nothing and give no event.

    Returns:
        The events written, in the order of the records.
    """
    events: list[Event] = []
    async with engine.transaction():
        for start in range(0, len(records), MAX_ROWS_PER_STATEMENT):
            chunk = records[start : start + MAX_ROWS_PER_STATEMENT]
            opened = await _insert(
                engine, [record.violation for record in chunk if isinstance(record, ViolationOpened)]
            )
            changed = [await _change(record) for record in chunk]
            events += await write_events(engine, list(_entries(chunk, opened, changed)), now)
    return events


async def _insert(engine: DatabaseEngine, violations: Sequence[Violation]) -> set[str]:
    """Insert what isn't there; the ids that were not."""
    rows = [violation_columns(violation) for violation in violations]
    inserted = set(await insert_rows(engine, ViolationRow, rows, ViolationRow.id, known=True))
    await write_audit(engine, {v.id: [_created(v)] for v in violations if v.id in inserted})
    return inserted


def _created(violation: Violation) -> AuditEntry:
    return AuditEntry(at=violation.created_at, actor=GATEWAY, action=AuditAction.CREATED)


async def _change(record: ViolationRecord) -> Violation | None:
    """Change the violation that a record tells of; None where there is none, or it has been changed so before."""
    match record:
        case ViolationOpened():
            return None
        case ViolationClosed():
            columns: Changes = {
                "ended_at": record.ended_at,
                "score": record.score,
                "blind_seconds": record.blind_seconds,
                "updated_at": record.at,
            }
            is_new: Where | And | Or = ViolationRow.ended_at.is_null()
        case ViolationUpdated():
            columns = update_columns(record)
            is_new = ViolationRow.frame_at.is_null() | (ViolationRow.frame_at < record.frame_at)
        case ClipTaken():
            clip = json_text(record.clip)
            columns = {"clip": clip, "updated_at": record.at}
            is_new = (ViolationRow.clip != clip) & ViolationRow.evidence_deleted_at.is_null()
    update = ViolationRow.update(columns).where((ViolationRow.id == record.id) & is_new)
    rows = await update.returning(*ViolationRow.all_columns())
    return violation_of(rows[0]) if rows else None


def _entries(
    records: Sequence[ViolationRecord], opened: set[str], changed: Sequence[Violation | None]
) -> Iterator[OutboxEntry]:
    """What became of the records; an opening that came twice in the chunk counts once."""
    for record, violation in zip(records, changed, strict=True):
        if isinstance(record, ViolationOpened) and record.violation.id in opened:
            opened.remove(record.violation.id)
            yield OutboxEntry(EventType.VIOLATION_OPENED, record.violation.camera_id, record.violation)
        elif violation is not None:
            closed = isinstance(record, ViolationClosed)
            event = EventType.VIOLATION_CLOSED if closed else EventType.VIOLATION_UPDATED
            yield OutboxEntry(event, violation.camera_id, violation)
