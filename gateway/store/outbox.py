"""Events, written in the transaction of what they tell, and read by number."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from piccolo.query.functions import Max

from gateway.domain.event import Event, EventType, GrantChanged
from gateway.domain.violation import Violation
from gateway.store.bulk import insert_numbered_rows
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine, lock_until_commit
from gateway.store.rows import event_of, json_text
from gateway.store.tables import OutboxRow

OUTBOX_LOCK = 0x52555448_02


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event to be: what happened at which camera, and what is said of it."""

    type: EventType
    camera_id: str
    payload: Violation | GrantChanged


async def write_events(engine: DatabaseEngine, entries: Sequence[OutboxEntry], now: dt.datetime) -> list[Event]:
    """Write events; to be called in a transaction, last of all.

    Transactions that write events commit one after the other, so that numbers become visible in their order: a reader
    who has seen number 7 will never find a 6 afterwards.

    Returns:
        The events with their numbers, in order.
    """
    if not entries:
        return []
    await lock_until_commit(engine, OUTBOX_LOCK)
    payloads = [json_text(entry.payload) for entry in entries]
    rows = [
        {"type": entry.type.value, "camera_id": entry.camera_id, "at": now, "payload": payload}
        for entry, payload in zip(entries, payloads, strict=True)
    ]
    numbers = await insert_numbered_rows(engine, OutboxRow, rows, OutboxRow.number)
    return [
        Event(
            number=number,
            type=entry.type,
            camera_id=entry.camera_id,
            at=now,
            payload=msgspec.Raw(payload),
        )
        for number, entry, payload in zip(numbers, entries, payloads, strict=True)
    ]


@database_call
async def record_grants(engine: DatabaseEngine, changes: Sequence[GrantChanged], now: dt.datetime) -> list[Event]:
    """Write changed grants as events in one transaction."""
    entries = [OutboxEntry(EventType.CAMERA_GRANT_CHANGED, change.camera_id, change) for change in changes]
    events: list[Event] = []
    async with engine.transaction():
        events += await write_events(engine, entries, now)
    return events


@database_call
async def events_after(number: int, limit: int) -> Sequence[Event]:
    """Events with a greater number, oldest first."""
    select = OutboxRow.select().where(OutboxRow.number > number).order_by(OutboxRow.number).limit(limit)
    return [event_of(row) for row in await select]


@database_call
async def last_event_number() -> int:
    """Number of the newest event; 0 when there is none."""
    ((row),) = await OutboxRow.select(Max(OutboxRow.number))
    return row["max"] or 0
