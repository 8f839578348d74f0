"""Who did what with a violation: rows that are written in the transaction of what they tell, and never changed."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from gateway.domain.violation import AUDIT_ACTIONS, AuditAction, AuditEntry, ViolationPatch
from gateway.store.bulk import insert_rows
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.rows import without_nul
from gateway.store.tables import AuditRow

GATEWAY = "gateway"
"""The actor of what no person did."""


async def write_audit(engine: DatabaseEngine, entries: Mapping[str, Sequence[AuditEntry]]) -> None:
    """Add entries by violation id; to be called in a transaction."""
    rows = [
        {
            "violation_id": violation_id,
            "at": entry.at,
            "actor": without_nul(entry.actor),
            "action": entry.action.value,
            "note": without_nul(entry.note),
        }
        for violation_id, entries_of_one in entries.items()
        for entry in entries_of_one
    ]
    await insert_rows(engine, AuditRow, rows)


def audit_of_patch(patch: ViolationPatch, now: dt.datetime) -> Iterator[AuditEntry]:
    """What a patch does, as entries."""
    if patch.status is not msgspec.UNSET:
        yield AuditEntry(at=now, actor=patch.by, action=AUDIT_ACTIONS[patch.status])
    if patch.note is not msgspec.UNSET:
        yield AuditEntry(at=now, actor=patch.by, action=AuditAction.NOTED, note=patch.note)


@database_call
async def audit(violation_id: str) -> Sequence[AuditEntry]:
    """A violation's entries, oldest first."""
    rows = await AuditRow.select().where(AuditRow.violation_id == violation_id).order_by(AuditRow.number)
    return [msgspec.convert(row, AuditEntry) for row in rows]
