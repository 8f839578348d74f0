"""Spooled records into the database: each once, however often they come."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

from piccolo.columns import And, Or, Where

from gateway.domain.event import Event, EventType
from gateway.domain.lease import CameraStates
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
from gateway.store.leases import carry_states, is_owners_word, lock_leases, owner_may_say
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.rows import Changes, json_text, update_columns, violation_columns, violation_of
from gateway.store.tables import ViolationRow
from gateway.store.twins import Twins, twins_of

MAX_ROWS_PER_STATEMENT = 500
"""Both databases take some 32,700 parameters in a statement; a violation has 31."""


@database_call
async def apply_records(
    engine: DatabaseEngine,
    records: Sequence[ViolationRecord],
    states: Sequence[CameraStates],
    now: dt.datetime,
) -> list[Event]:
    """Write records, their events and rule states in one transaction.

    A violation that is there already and a change that was made already change nothing and give no event.

    Returns:
        The events written, in the order of the records.
    """
    events: list[Event] = []
    async with engine.transaction():
        twins = await _twins(engine, records, states, now)
        for start in range(0, len(records), MAX_ROWS_PER_STATEMENT):
            chunk = records[start : start + MAX_ROWS_PER_STATEMENT]
            events += await _apply_chunk(engine, chunk, twins, now)
        if twins is not None and states:
            await carry_states(engine, states)
    return events


async def _twins(
    engine: DatabaseEngine, records: Sequence[ViolationRecord], states: Sequence[CameraStates], now: dt.datetime
) -> Twins | None:
    """Lock the leases of what is written, so that no camera changes hands meanwhile.

    None where no camera has one, and on SQLite, where a spool may come to that has served a replica before.
    """
    cameras = {each.camera_id for each in states} | {
        record.violation.camera_id for record in records if isinstance(record, ViolationOpened) and record.epoch
    }
    if not isinstance(engine, PooledPostgresEngine) or not (cameras or any(map(is_owners_word, records))):
        return None
    return Twins(engine, records, await lock_leases(engine, sorted(cameras)), now)


async def _apply_chunk(
    engine: DatabaseEngine, chunk: Sequence[ViolationRecord], twins: Twins | None, now: dt.datetime
) -> list[Event]:
    openings = [record for record in chunk if isinstance(record, ViolationOpened)]
    merged: Sequence[Violation] = ()
    known: Mapping[str, str] = {}
    if twins is not None:
        openings, merged = await twins.merge(openings)
        known = await twins_of(engine, [record.id for record in chunk if not isinstance(record, ViolationOpened)])
    opened = await _insert(engine, openings)
    changed = [await _change(record, known, fenced=twins is not None) for record in chunk]
    goes_on = [OutboxEntry(EventType.VIOLATION_UPDATED, each.camera_id, each) for each in merged]
    return await write_events(engine, [*goes_on, *_entries(chunk, opened, changed)], now)


async def _insert(engine: DatabaseEngine, openings: Sequence[ViolationOpened]) -> set[str]:
    """Insert what isn't there; the ids that were not."""
    rows = [violation_columns(opening.violation, opening.epoch) for opening in openings]
    inserted = set(await insert_rows(engine, ViolationRow, rows, ViolationRow.id, known=True))
    created = [opening.violation for opening in openings if opening.violation.id in inserted]
    await write_audit(engine, {violation.id: [_created(violation)] for violation in created})
    return inserted


def _created(violation: Violation) -> AuditEntry:
    return AuditEntry(at=violation.created_at, actor=GATEWAY, action=AuditAction.CREATED)


async def _change(record: ViolationRecord, twins: Mapping[str, str], *, fenced: bool) -> Violation | None:
    """Change the violation that a record tells of; None where there is none, or it has been changed so before.

    Args:
        record: What changes.
        twins: The violation that an id stands for, where it is a twin's.
        fenced: Whether another replica's word may stand against the record's.
    """
    match record:
        case ViolationOpened():
            return None
        case ViolationClosed():
            columns: Changes = {
                "ended_at": record.ended_at,
                "score": record.score,
                "blind_seconds": record.blind_seconds,
                "updated_at": record.at,
                "cut_off": record.cut_off,
            }
            is_new: Where | And | Or = ViolationRow.ended_at.is_null()
        case ViolationUpdated():
            columns = update_columns(record)
            is_new = ViolationRow.frame_at.is_null() | (ViolationRow.frame_at < record.frame_at)
        case ClipTaken():
            clip = json_text(record.clip)
            columns = {"clip": clip, "updated_at": record.at}
            is_new = (ViolationRow.clip != clip) & ViolationRow.evidence_deleted_at.is_null()
    if fenced and is_owners_word(record):
        is_new &= owner_may_say(record)
    if isinstance(record, ClipTaken) and record.id in twins:
        is_new &= ViolationRow.clip.like('%"name":""%')  # it fills a gap, and takes no other's place
    update = ViolationRow.update(columns).where((ViolationRow.id == twins.get(record.id, record.id)) & is_new)
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
