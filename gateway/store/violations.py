"""Violations on record, read and changed by people."""

import datetime as dt
import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from piccolo.columns import Column, Where
from piccolo.query.functions import Count

from gateway.domain.event import Event, EventType
from gateway.domain.violation import Violation, ViolationPatch, ViolationQuery
from gateway.store.audit import audit_of_patch, write_audit
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.rows import Changes, only_row, violation_of, without_nul
from gateway.store.tables import TwinRow, ViolationRow


@database_call
async def patch_violation(
    engine: DatabaseEngine, violation_id: str, patch: ViolationPatch, now: dt.datetime
) -> tuple[Violation, Event]:
    """Change a violation, with its audit and its event, in one transaction; `NotFoundError` if there is none.

    Takes the id of a twin, too.
    """
    changes: Changes = {"updated_at": now}
    if patch.status is not msgspec.UNSET:
        changes["status"] = patch.status
    if patch.note is not msgspec.UNSET:
        changes["note"] = without_nul(patch.note)
    async with engine.transaction():
        violation_id = (await violation(violation_id)).id
        update = ViolationRow.update(changes).where(ViolationRow.id == violation_id)
        rows = await update.returning(*ViolationRow.all_columns())
        patched = violation_of(only_row(rows, "violation", violation_id))
        await write_audit(engine, {violation_id: list(audit_of_patch(patch, now))})
        entry = OutboxEntry(EventType.VIOLATION_UPDATED, patched.camera_id, patched)
        (event,) = await write_events(engine, [entry], now)
    return patched, event


@database_call
async def violation(violation_id: str) -> Violation:
    """One violation, also by the id of a twin; `NotFoundError` if there is none."""
    rows = await ViolationRow.select().where(ViolationRow.id == violation_id)
    if not rows and (twins := await TwinRow.select().where(TwinRow.id == violation_id)):
        rows = await ViolationRow.select().where(ViolationRow.id == twins[0]["violation_id"])
    return violation_of(only_row(rows, "violation", violation_id))


@database_call
async def violations(query: ViolationQuery) -> Sequence[Violation]:
    """Violations that match, by descending id: newest first."""
    select = ViolationRow.select().order_by(ViolationRow.id, ascending=False).limit(query.limit)
    for condition in _conditions(query):
        select = select.where(condition)
    return [violation_of(row) for row in await select]


@database_call
async def count_by_status() -> Mapping[str, int]:
    """Number of violations in each status that occurs."""
    rows = await ViolationRow.select(ViolationRow.status, Count()).group_by(ViolationRow.status)
    return {row["status"]: row["count"] for row in rows}


@database_call
async def twin_ids(violation_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The ids of each violation's twins, where it has any."""
    if not violation_ids:
        return {}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in await TwinRow.select().where(TwinRow.violation_id.is_in([*violation_ids])):
        found[row["violation_id"]].append(row["id"])
    return found


def _conditions(query: ViolationQuery) -> list[Where]:
    comparisons: tuple[tuple[Column, Callable[[Any, Any], Where], object], ...] = (
        (ViolationRow.camera_id, operator.eq, query.camera_id),
        (ViolationRow.type, operator.eq, query.type),
        (ViolationRow.status, operator.eq, query.status),
        (ViolationRow.started_at, operator.ge, query.started_from),
        (ViolationRow.started_at, operator.lt, query.started_to),
        (ViolationRow.id, operator.lt, query.before_id),
    )
    conditions = [compare(column, value) for column, compare, value in comparisons if value is not None]
    return [*conditions, ViolationRow.ended_at.is_null()] if query.ongoing else conditions
