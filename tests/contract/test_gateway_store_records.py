"""What `Store` promises of records that are applied, on SQLite, on PostgreSQL, and behind PgBouncer."""

import asyncio
import datetime as dt
from collections.abc import Coroutine
from itertools import chain
from typing import Any

import msgspec

from gateway.domain.event import EventType
from gateway.domain.lease import CameraStates
from gateway.domain.ports import Store
from gateway.domain.violation import (
    ViolationOpened,
    ViolationPatch,
    ViolationRecord,
    ViolationStatus,
    ViolationUpdated,
)
from gateway.errors import DatabaseError
from tests.support.violations import NOON, a_violation, clip_taken, closed, opened, updated


async def test_a_violation_comes_back_field_by_field(store: Store) -> None:
    full = a_violation(ended_at=NOON + dt.timedelta(seconds=2), note="a ladder")
    bare = a_violation(track_id=None)
    await store.apply([ViolationOpened(violation=full), ViolationOpened(violation=bare)])

    assert await store.violation(full.id) == full
    assert await store.violation(bare.id) == bare


async def test_records_applied_again_change_nothing_and_give_no_event(store: Store) -> None:
    record = opened()
    batch = [record, closed(record.violation), opened()]

    first = await store.apply(batch)
    stored = await store.violation(record.violation.id)
    second = await store.apply(batch)

    assert [event.type for event in first] == [
        EventType.VIOLATION_OPENED,
        EventType.VIOLATION_CLOSED,
        EventType.VIOLATION_OPENED,
    ]
    assert list(second) == []
    assert await store.violation(record.violation.id) == stored
    assert await store.last_event_number() == first[-1].number


async def test_a_record_that_comes_twice_in_a_batch_gives_one_event(store: Store) -> None:
    record = opened()
    end = closed(record.violation)

    events = await store.apply([record, record, end, end])

    assert [event.type for event in events] == [EventType.VIOLATION_OPENED, EventType.VIOLATION_CLOSED]


async def test_mixed_records_of_many_violations_are_applied_in_their_order(store: Store) -> None:
    violations = [a_violation() for _ in range(20)]
    steps = [
        [make(violation) for violation in violations] for make in (updated, clip_taken, lambda v: closed(v, score=0.99))
    ]
    await store.apply([ViolationOpened(violation=violations[0])])

    events = await store.apply(
        [
            *(ViolationOpened(violation=violation) for violation in violations),
            *chain.from_iterable(zip(*steps, strict=True)),
        ]
    )

    assert [event.said()["id"] for event in events[:19]] == [violation.id for violation in violations[1:]]
    assert [event.said()["id"] for event in events[19:]] == [v.id for v in violations for _ in steps]
    assert [event.type.value for event in events[19:22]] == ["violation.updated"] * 2 + ["violation.closed"]
    assert [event.said()["score"] for event in events[19:22]] == [0.95, 0.95, 0.99]
    assert [event.number for event in events] == list(range(events[0].number, events[0].number + len(events)))
    assert {(await store.violation(violation.id)).score for violation in violations} == {0.99}


async def test_records_that_two_apply_at_once_are_there_once(store: Store) -> None:
    batch = [opened() for _ in range(50)]

    answers = await asyncio.gather(store.apply(batch), store.apply(batch), return_exceptions=True)
    again = await store.apply(batch)

    assert all(isinstance(answer, list | DatabaseError) for answer in answers)
    assert len(list(chain.from_iterable(answer for answer in answers if isinstance(answer, list)))) == 50
    assert list(again) == []
    assert await store.count_by_status() == {"open": 50}
    assert len(await store.events_after(0, 500)) == 50


async def test_an_end_sets_time_and_peak_score_once(store: Store) -> None:
    record = opened()
    await store.apply([record])

    await store.apply([closed(record.violation, after_s=5, score=0.9)])
    await store.apply([closed(record.violation, after_s=50, score=0.1)])

    violation = await store.violation(record.violation.id)
    assert violation.ended_at == NOON + dt.timedelta(seconds=5)
    assert violation.score == 0.9


async def test_records_and_states_of_a_replica_are_taken_by_any_database(store: Store) -> None:
    record = msgspec.structs.replace(opened(), epoch=3)
    end = msgspec.structs.replace(closed(record.violation), epoch=3, cut_off=True)
    states = CameraStates(camera_id=record.violation.camera_id, epoch=3, states={"rule": b"{}"}, version=1)

    for expected in ([EventType.VIOLATION_OPENED, EventType.VIOLATION_CLOSED], []):
        assert [event.type for event in await store.apply([record, end], [states])] == expected
    assert (await store.violation(record.violation.id)).ended_at == end.ended_at


async def test_a_better_frame_and_a_clip_change_a_violation_once_each(store: Store) -> None:
    record = opened()
    await store.apply([record])
    batch = [updated(record.violation), clip_taken(record.violation)]

    events = await store.apply([*batch, *batch])
    again = await store.apply(batch)

    assert [event.type for event in events] == [EventType.VIOLATION_UPDATED] * 2
    assert list(again) == []
    changed = await store.violation(record.violation.id)
    assert changed == msgspec.structs.replace(
        record.violation, **_told(batch[0]), clip=batch[1].clip, updated_at=batch[1].at
    )


async def test_better_frames_of_an_older_gateway_are_taken_beside_those_that_say_what_saw_them(store: Store) -> None:
    records = [opened() for _ in range(6)]
    news = [updated(record.violation) for record in records]
    news[::2] = [msgspec.structs.replace(each, sighting=None) for each in news[::2]]
    sighting = news[1].sighting
    assert sighting is not None
    news[1] = msgspec.structs.replace(news[1], sighting=msgspec.structs.replace(sighting, track_id=None))

    events = await store.apply([*records, *news])

    assert [event.said()["id"] for event in events] == [record.violation.id for record in records] * 2
    for record, each in zip(records, news, strict=True):
        changed = await store.violation(record.violation.id)
        assert changed == msgspec.structs.replace(record.violation, **_told(each), updated_at=each.at)


def test_a_better_frame_that_an_older_gateway_spooled_is_understood() -> None:
    news = updated(a_violation())
    spooled = {name: value for name, value in msgspec.to_builtins(news).items() if name != "sighting"}
    known = msgspec.json.decode(msgspec.json.encode(spooled), type=ViolationRecord)
    assert known == msgspec.structs.replace(news, sighting=None)


def _told(update: ViolationUpdated) -> dict[str, Any]:
    """What a better frame changes of a violation, its time apart."""
    sighting = msgspec.structs.asdict(update.sighting) if update.sighting else {}
    names = [name for name in update.__struct_fields__ if name not in ("at", "epoch", "sighting")]
    return {name: getattr(update, name) for name in names} | sighting


async def test_a_frame_that_is_older_than_the_best_one_changes_nothing(store: Store) -> None:
    record = opened()
    await store.apply([record, updated(record.violation, after_s=8)])

    assert list(await store.apply([updated(record.violation, after_s=4)])) == []


async def test_the_end_of_an_unknown_violation_is_passed_over(store: Store) -> None:
    assert list(await store.apply([closed(a_violation()), opened()])) != []


async def test_a_batch_larger_than_a_statement_is_one_transaction(store: Store) -> None:
    records = [opened() for _ in range(1100)]

    events = await store.apply(records)

    assert [event.said()["id"] for event in events] == [record.violation.id for record in records]
    assert await store.count_by_status() == {"open": 1100}


async def test_a_label_with_a_nul_character_does_not_hold_up_the_others(store: Store) -> None:
    await store.apply([opened(label="per\0son"), opened()])

    assert await store.count_by_status() == {"open": 2}


async def test_a_violation_applied_again_keeps_what_a_person_changed(store: Store) -> None:
    record = opened()
    await store.apply([record])
    await store.patch_violation(record.violation.id, ViolationPatch(status=ViolationStatus.RESOLVED))

    await store.apply([record, closed(record.violation)])

    assert (await store.violation(record.violation.id)).status is ViolationStatus.RESOLVED


async def _cancelled_after(turns: int, call: Coroutine[Any, Any, object]) -> None:
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cancelled_write_leaves_the_store_usable(store: Store) -> None:
    for delay_turns in range(0, 60, 3):
        await _cancelled_after(delay_turns, store.apply([opened() for _ in range(20)]))

    assert (await store.count_by_status()).get("open", 0) % 20 == 0
    await asyncio.gather(*(store.apply([opened()]) for _ in range(8)))
