"""Spooled records into the database: each once, however often they come."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

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
from gateway.store.bulk import insert_new_rows, update_rows
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.rows import Row, json_text, update_columns, violation_columns, violation_of
from gateway.store.tables import ViolationRow

MAX_ROWS_PER_STATEMENT = 500
"""SQLite takes some 32,700 parameters in a statement; a violation has 31."""

Change = ViolationUpdated | ClipTaken | ViolationClosed
T = TypeVar("T", bound=ViolationRecord)

_IS_NEWS: Mapping[type[Change], str] = {
    ViolationUpdated: "violation.frame_at IS NULL OR violation.frame_at < news.frame_at",
    ClipTaken: "violation.clip <> news.clip AND violation.evidence_deleted_at IS NULL",
    ViolationClosed: "violation.ended_at IS NULL",
}
"""When a record changes something: what was changed so before is passed over."""

_EVENTS: Mapping[type[ViolationRecord], EventType] = {
    ViolationOpened: EventType.VIOLATION_OPENED,
    ViolationUpdated: EventType.VIOLATION_UPDATED,
    ClipTaken: EventType.VIOLATION_UPDATED,
    ViolationClosed: EventType.VIOLATION_CLOSED,
}


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
            changed: dict[int, Violation] = {}
            for round_ in rounds(chunk):
                changed |= await _apply_round(engine, round_)
            entries = [_entry(chunk[place], changed[place]) for place in sorted(changed)]
            events += await write_events(engine, entries, now)
    return events


def rounds(records: Sequence[ViolationRecord]) -> Iterator[Mapping[int, ViolationRecord]]:
    """Records by their places, in rounds of at most one for each violation: the first of each, the second, and so on.

    Within a round their order is of no consequence.
    """
    seen: Counter[str] = Counter()
    found: defaultdict[int, dict[int, ViolationRecord]] = defaultdict(dict)
    for place, record in enumerate(records):
        violation_id = _violation_id(record)
        found[seen[violation_id]][place] = record
        seen[violation_id] += 1
    yield from found.values()


async def _apply_round(engine: DatabaseEngine, records: Mapping[int, ViolationRecord]) -> dict[int, Violation]:
    """Apply records of different violations; what was changed, by the record's place."""
    places = {_violation_id(record): place for place, record in records.items()}
    changed = await _insert(engine, _of(ViolationOpened, records))
    changed += await _change(engine, ClipTaken, [_clip_columns(record) for record in _of(ClipTaken, records)])
    changed += await _change(
        engine, ViolationClosed, [_end_columns(record) for record in _of(ViolationClosed, records)]
    )
    updates = [update_columns(record) for record in _of(ViolationUpdated, records)]
    changed += await _change(engine, ViolationUpdated, updates)
    return {places[violation.id]: violation for violation in changed}


async def _insert(engine: DatabaseEngine, records: Sequence[ViolationOpened]) -> list[Violation]:
    """Insert what isn't there; the violations that were not."""
    rows = [violation_columns(record.violation) for record in records]
    inserted = await insert_new_rows(engine, ViolationRow, rows, ViolationRow.id)
    new = [record.violation for record in records if record.violation.id in inserted]
    await write_audit(engine, {violation.id: [_created(violation)] for violation in new})
    return new


async def _change(engine: DatabaseEngine, kind: type[Change], rows: Sequence[Row]) -> list[Violation]:
    """Change the violations that records of a kind tell of; those that are there and weren't changed so before."""
    changed = await update_rows(engine, ViolationRow, rows, ViolationRow.id, _IS_NEWS[kind])
    return [violation_of(row) for row in changed]


def _created(violation: Violation) -> AuditEntry:
    return AuditEntry(at=violation.created_at, actor=GATEWAY, action=AuditAction.CREATED)


def _clip_columns(record: ClipTaken) -> Row:
    return {"id": record.id, "clip": json_text(record.clip), "updated_at": record.at}


def _end_columns(record: ViolationClosed) -> Row:
    return {
        "id": record.id,
        "ended_at": record.ended_at,
        "score": record.score,
        "blind_seconds": record.blind_seconds,
        "updated_at": record.at,
    }


def _entry(record: ViolationRecord, violation: Violation) -> OutboxEntry:
    return OutboxEntry(_EVENTS[type(record)], violation.camera_id, violation)


def _violation_id(record: ViolationRecord) -> str:
    return record.violation.id if isinstance(record, ViolationOpened) else record.id


def _of(kind: type[T], records: Mapping[int, ViolationRecord]) -> list[T]:
    return [record for record in records.values() if isinstance(record, kind)]
