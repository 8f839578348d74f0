"""Letting go of evidence and events on record; what is deleted is said."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec
from piccolo.columns import Where
from piccolo.query.functions import Max

from gateway.domain.event import Event, EventsMissed, EventType
from gateway.domain.retention import EvidenceQuery
from gateway.domain.violation import (
    AuditAction,
    AuditEntry,
    Evidence,
    Violation,
    ViolationStatus,
    evidence_places,
)
from gateway.store.audit import GATEWAY, write_audit
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine, lock_until_commit
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.rows import Changes, json_text, violation_of
from gateway.store.tables import CursorRow, DeadLetterRow, DisposalRow, OutboxRow, ViolationRow
from gateway.store.violations import twin_ids

_TRIM_LOCK = 0x52555448_03
_TRIMMED = "trimmed"


@database_call
async def evidence_kept(query: EvidenceQuery) -> Sequence[Violation]:
    """Violations whose evidence may go."""
    newest_first = query.beyond_newest > 0
    select = ViolationRow.select().order_by(ViolationRow.id, ascending=not newest_first).limit(query.limit)
    select = select.where(*_may_go())
    if query.status is not None:
        select = select.where(ViolationRow.status == query.status.value)
    if query.camera_id is not None:
        select = select.where(ViolationRow.camera_id == query.camera_id)
    if query.created_before is not None:
        select = select.where(ViolationRow.created_at < query.created_before)
    if query.after_id is not None:
        further = ViolationRow.id < query.after_id if newest_first else ViolationRow.id > query.after_id
        select = select.where(further)
    elif newest_first:
        select = select.offset(query.beyond_newest)
    return [violation_of(row) for row in await select]


@database_call
async def cameras_with_evidence() -> Sequence[str]:
    """Ids of the cameras, still there or not, that have violations with evidence."""
    select = ViolationRow.select(ViolationRow.camera_id).where(ViolationRow.evidence_deleted_at.is_null())
    return [row["camera_id"] for row in await select.group_by(ViolationRow.camera_id).order_by(ViolationRow.camera_id)]


@database_call
async def forget_evidence(
    engine: DatabaseEngine, violation_ids: Sequence[str], reason: str, now: dt.datetime
) -> Sequence[Event]:
    """Note that evidence is deleted, and why, and where it lies; the events, in order.

    One that was noted already, that was opened again or that goes on is passed over, and gives none.
    """
    gone = json_text(Evidence(missing_reason=f"deleted on {now:%Y-%m-%d}: {reason}"))
    changes: Changes = {
        "evidence": gone,
        "clean_evidence": gone,
        "clip": gone,
        "evidence_deleted_at": now,
        "updated_at": now,
    }
    entry = AuditEntry(at=now, actor=GATEWAY, action=AuditAction.EVIDENCE_DELETED, note=reason)
    events: list[Event] = []
    async with engine.transaction():
        rows = await ViolationRow.select().where(ViolationRow.id.is_in([*violation_ids]))
        kept = {violation.id: violation for violation in map(violation_of, rows)}
        update = ViolationRow.update(changes).where(ViolationRow.id.is_in([*kept]), *_may_go())
        forgotten = [violation_of(row) for row in await update.returning(*ViolationRow.all_columns())]
        await _keep_places([kept[violation.id] for violation in forgotten])
        await write_audit(engine, {violation.id: [entry] for violation in forgotten})
        entries = [OutboxEntry(EventType.VIOLATION_UPDATED, v.camera_id, v) for v in forgotten]
        events += await write_events(engine, entries, now)
    return events


@database_call
async def evidence_forgotten() -> Mapping[str, Sequence[str]]:
    """By violation: the files and folders, there or not, that are to be deleted and aren't known to be."""
    rows = await DisposalRow.select().order_by(DisposalRow.violation_id)
    return {row["violation_id"]: msgspec.json.decode(row["places"], type=list[str]) for row in rows}


@database_call
async def note_deleted(violation_ids: Sequence[str]) -> None:
    """Their files and folders are deleted."""
    if violation_ids:
        await DisposalRow.delete().where(DisposalRow.violation_id.is_in([*violation_ids]))


@database_call
async def trim_events(engine: DatabaseEngine, before: dt.datetime, limit: int, now: dt.datetime) -> int:
    """Delete the oldest events of before a time, `limit` at most; how many. The newest one stays, whatever its age.

    Up to where they were deleted is kept in the same transaction.
    """
    async with engine.transaction():
        await lock_until_commit(engine, _TRIM_LOCK)
        (newest,) = await OutboxRow.select(Max(OutboxRow.number))
        oldest = await OutboxRow.select(OutboxRow.number, OutboxRow.at).order_by(OutboxRow.number).limit(limit)
        numbers = [row["number"] for row in oldest if row["at"] < before and row["number"] != newest["max"]]
        if numbers:
            await OutboxRow.delete().where(OutboxRow.number <= numbers[-1])
            trimmed = CursorRow(name=_TRIMMED, number=numbers[-1], holder="", updated_at=now)
            await CursorRow.insert(trimmed).on_conflict(
                target=CursorRow.name, action="DO UPDATE", values=[CursorRow.number, CursorRow.updated_at]
            )
    return len(numbers)


@database_call
async def trim_dead_letters(before: dt.datetime, limit: int) -> int:
    """Delete the oldest dead letters of before a time, of all webhooks, `limit` at most; how many."""
    select = DeadLetterRow.select(DeadLetterRow.number).where(DeadLetterRow.at < before)
    numbers = [row["number"] for row in await select.order_by(DeadLetterRow.number).limit(limit)]
    if numbers:
        await DeadLetterRow.delete().where(DeadLetterRow.number.is_in(numbers))
    return len(numbers)


@database_call
async def events_missed(after: int, before: int) -> Event | None:
    """Tells of events between two numbers that were trimmed; None where none was."""
    rows = await CursorRow.select().where(CursorRow.name == _TRIMMED)
    through = min(rows[0]["number"], before - 1) if rows else 0
    if through <= after:
        return None
    missed = EventsMissed(after=after, through=through)
    return Event(
        number=through,
        type=EventType.EVENTS_MISSED,
        camera_id="",
        at=rows[0]["updated_at"],
        payload=msgspec.Raw(msgspec.json.encode(missed)),
    )


def _may_go() -> tuple[Where, ...]:
    """Of which violations evidence may go."""
    return (
        ViolationRow.evidence_deleted_at.is_null(),
        ViolationRow.ended_at.is_not_null(),
        ViolationRow.status != ViolationStatus.OPEN.value,
    )


async def _keep_places(violations: Sequence[Violation]) -> None:
    twins = await twin_ids([violation.id for violation in violations])
    places = {each.id: evidence_places(each, twins.get(each.id, ())) for each in violations}
    if places:
        rows = [DisposalRow(violation_id=violation_id, places=json_text(each)) for violation_id, each in places.items()]
        await DisposalRow.insert(*rows)
