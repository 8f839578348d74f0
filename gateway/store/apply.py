"""Spooled records into the database: each once, however often they come."""

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

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
from gateway.store.bulk import insert_new_rows, update_rows
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.leases import FENCE, FENCE_COLUMNS, carry_states, fence_columns, is_owners_word, lock_leases
from gateway.store.outbox import OutboxEntry, write_events
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.rows import Row, json_text, update_columns, violation_columns, violation_of
from gateway.store.tables import ViolationRow
from gateway.store.twins import TWIN_COLUMNS, TWINS_FILL_GAPS, Twins, twins_of

MAX_ROWS_PER_STATEMENT = 500
"""SQLite takes some 32,700 parameters in a statement; a violation has 33."""

Change = ViolationUpdated | ClipTaken | ViolationClosed
T = TypeVar("T", bound=ViolationRecord)

_IS_NEWS: Mapping[type[Change], str] = {
    ViolationUpdated: "(violation.frame_at IS NULL OR violation.frame_at < news.frame_at)",
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
    merged: Sequence[Violation] = ()
    stands_for: Mapping[str, str] = {}
    if twins is not None:
        merged = await twins.merge([record for record in chunk if isinstance(record, ViolationOpened)])
        stands_for = await twins_of(engine, list(map(_violation_id, chunk)))
    changed: dict[int, Violation] = {}
    for round_ in rounds(chunk, stands_for):
        changed |= await _Round(engine, round_, stands_for, fenced=twins is not None).apply()
    goes_on = [OutboxEntry(EventType.VIOLATION_UPDATED, each.camera_id, each) for each in merged]
    entries = [_entry(chunk[place], changed[place]) for place in sorted(changed)]
    return await write_events(engine, [*goes_on, *entries], now)


def rounds(
    records: Sequence[ViolationRecord], stands_for: Mapping[str, str] | None = None
) -> Iterator[Mapping[int, ViolationRecord]]:
    """Records by their places, in rounds of at most one for each violation: the first of each, the second, and so on.

    Within a round their order is of no consequence. Openings of twins are left out: they were merged.

    Args:
        records: In order.
        stands_for: The violation that an id stands for, where it is a twin's.
    """
    twins = stands_for or {}
    seen: Counter[str] = Counter()
    found: defaultdict[int, dict[int, ViolationRecord]] = defaultdict(dict)
    for place, record in enumerate(records):
        violation_id = _violation_id(record)
        if isinstance(record, ViolationOpened) and violation_id in twins:
            continue
        target = twins.get(violation_id, violation_id)
        found[seen[target]][place] = record
        seen[target] += 1
    yield from found.values()


class _Round:
    """Records of different violations, in any order.

    Args:
        engine: With an open transaction.
        records: By their places.
        stands_for: The violation that an id stands for, where it is a twin's.
        fenced: Whether another replica's word may stand against a record's.
    """

    def __init__(
        self,
        engine: DatabaseEngine,
        records: Mapping[int, ViolationRecord],
        stands_for: Mapping[str, str],
        *,
        fenced: bool,
    ) -> None:
        self._engine = engine
        self._records = records
        self._stands_for = stands_for
        self._fenced = fenced

    async def apply(self) -> dict[int, Violation]:
        """Apply all; what was changed, by the record's place."""
        places = {self._target(_violation_id(record)): place for place, record in self._records.items()}
        changed = await self._insert(self._of(ViolationOpened))
        changed += await self._take_clips(self._of(ClipTaken))
        ends = [(each, _end_columns(each)) for each in self._of(ViolationClosed)]
        changed += await self._go_on(ViolationClosed, ends)
        for is_told in (True, False):  # an older gateway's says less, and a statement has the same columns for all
            better = [each for each in self._of(ViolationUpdated) if (each.sighting is not None) is is_told]
            changed += await self._go_on(ViolationUpdated, [(each, update_columns(each)) for each in better])
        return {places[violation.id]: violation for violation in changed}

    async def _insert(self, records: Sequence[ViolationOpened]) -> list[Violation]:
        """Insert what isn't there; the violations that were not."""
        rows = [violation_columns(record.violation, record.epoch) for record in records]
        inserted = await insert_new_rows(self._engine, ViolationRow, rows, ViolationRow.id)
        new = [record.violation for record in records if record.violation.id in inserted]
        await write_audit(self._engine, {violation.id: [_created(violation)] for violation in new})
        return new

    async def _take_clips(self, records: Sequence[ClipTaken]) -> list[Violation]:
        """Note clips. A twin's fills a gap, and takes no other's place."""
        rows: list[Row] = [
            {"id": self._target(each.id), "clip": json_text(each.clip), "updated_at": each.at} for each in records
        ]
        if not self._stands_for:
            return await self._change(ClipTaken, rows)
        rows = [row | {"is_twins": each.id in self._stands_for} for each, row in zip(records, rows, strict=True)]
        return await self._change(ClipTaken, rows, TWINS_FILL_GAPS, TWIN_COLUMNS)

    async def _go_on(
        self, kind: type[Change], said: Sequence[tuple[ViolationClosed | ViolationUpdated, Row]]
    ) -> list[Violation]:
        """Change violations as their owners say."""
        rows = [row | {"id": self._target(record.id)} for record, row in said]
        if not self._fenced:
            return await self._change(kind, rows)
        rows = [row | fence_columns(record) for row, (record, _) in zip(rows, said, strict=True)]
        return await self._change(kind, rows, FENCE, FENCE_COLUMNS)

    async def _change(
        self, kind: type[Change], rows: Sequence[Row], unless: str = "true", beside: Mapping[str, str] | None = None
    ) -> list[Violation]:
        """Change violations; those that are there and weren't changed so before."""
        condition = f"{_IS_NEWS[kind]} AND {unless}"
        changed = await update_rows(self._engine, ViolationRow, rows, ViolationRow.id, condition, beside or {})
        return [violation_of(row) for row in changed]

    def _target(self, violation_id: str) -> str:
        return self._stands_for.get(violation_id, violation_id)

    def _of(self, kind: type[T]) -> list[T]:
        return [record for record in self._records.values() if isinstance(record, kind)]


def _created(violation: Violation) -> AuditEntry:
    return AuditEntry(at=violation.created_at, actor=GATEWAY, action=AuditAction.CREATED)


def _end_columns(record: ViolationClosed) -> Row:
    return {
        "id": record.id,
        "ended_at": record.ended_at,
        "score": record.score,
        "blind_seconds": record.blind_seconds,
        "updated_at": record.at,
        "cut_off": record.cut_off,
    }


def _entry(record: ViolationRecord, violation: Violation) -> OutboxEntry:
    return OutboxEntry(_EVENTS[type(record)], violation.camera_id, violation)


def _violation_id(record: ViolationRecord) -> str:
    return record.violation.id if isinstance(record, ViolationOpened) else record.id
