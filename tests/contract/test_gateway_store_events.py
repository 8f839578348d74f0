"""What `Store` promises of its events, on SQLite, on PostgreSQL, and behind PgBouncer."""

import asyncio
import contextvars
import datetime as dt

import msgspec

from gateway.domain.event import EventType
from gateway.domain.ports import Store
from gateway.store.piccolo_store import PiccoloStore
from tests.support.events import a_grant
from tests.support.violations import NOON, closed, opened


async def test_events_are_read_back_as_they_were_given_out(store: Store) -> None:
    assert await store.last_event_number() == 0
    record = opened()
    written = [*await store.apply([record, opened()]), *await store.apply([closed(record.violation)])]

    assert list(await store.events_after(0, 10)) == written
    assert list(await store.events_after(written[0].number, 1)) == [written[1]]
    assert list(await store.events_after(written[-1].number, 10)) == []
    assert await store.last_event_number() == written[-1].number
    assert written[0].said() == msgspec.json.decode(msgspec.json.encode(record.violation))


async def test_changed_grants_are_events_in_order_with_the_others(store: Store) -> None:
    before = await store.apply([opened()])
    changes = [a_grant(f"camera-{i}") for i in range(3)]

    events = await store.record_grants(changes)

    assert [event.camera_id for event in events] == ["camera-0", "camera-1", "camera-2"]
    assert {event.type for event in events} == {EventType.CAMERA_GRANT_CHANGED}
    assert events[0].said() == msgspec.to_builtins(changes[0])
    assert list(await store.events_after(before[0].number, 10)) == list(events)
    assert list(await store.record_grants([])) == []


async def test_old_events_are_trimmed_in_steps_and_the_newest_stays(store: Store) -> None:
    written = await store.apply([opened() for _ in range(10)])
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)

    assert await store.trim_events(NOON - dt.timedelta(days=3650), 100) == 0
    assert await store.trim_events(later, 4) == 4
    assert list(await store.events_after(0, 100)) == list(written[4:])
    assert await store.trim_events(later, 100) == 5
    assert await store.trim_events(later, 100) == 0
    assert list(await store.events_after(0, 100)) == [written[-1]]
    (after,) = await store.apply([opened()])
    assert after.number > written[-1].number


async def test_whoever_goes_on_from_before_trimmed_events_is_told(store: Store) -> None:
    written = await store.apply([opened() for _ in range(6)])
    numbers = [event.number for event in written]
    assert await store.events_missed(0, numbers[0]) is None
    assert await store.trim_events(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), 3) == 3

    missed = await store.events_missed(numbers[0], numbers[3])
    assert missed is not None
    assert (missed.number, missed.type) == (numbers[2], EventType.EVENTS_MISSED)
    assert missed.said() == {"after": numbers[0], "through": numbers[2]}
    assert await store.events_missed(numbers[2], numbers[3]) is None
    read_before_the_trim = await store.events_missed(0, numbers[1])
    assert read_before_the_trim is not None
    assert read_before_the_trim.said() == {"after": 0, "through": numbers[0]}


async def test_writers_at_once_number_their_events_without_a_double(store: Store) -> None:
    batches = [[opened() for _ in range(5)] for _ in range(12)]

    results = await asyncio.gather(*(store.apply(batch) for batch in batches))

    numbers = sorted(event.number for events in results for event in events)
    assert numbers == sorted(set(numbers))
    assert [event.number for event in await store.events_after(0, 100)] == numbers


async def test_an_event_never_appears_below_one_already_seen(store: PiccoloStore) -> None:
    async with store._engine.transaction():
        (first,) = await store.apply([opened()])
        elsewhere = asyncio.create_task(store.apply([opened()]), context=contextvars.Context())
        overtaken, _ = await asyncio.wait([elsewhere], timeout=0.3)
        assert not overtaken

    (second,) = await elsewhere
    assert second.number > first.number
    assert list(await store.events_after(0, 10)) == [first, second]
