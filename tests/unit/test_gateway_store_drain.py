"""The drain against a real spool and a real database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.domain.event import Event
from gateway.domain.lease import CameraStates
from gateway.domain.violation import ViolationQuery, ViolationRecord
from gateway.errors import DatabaseError
from gateway.events.bus import MemoryEventBus
from gateway.events.follow import follow
from gateway.store.drain import Drain, DrainSettings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.spool import SqliteSpool
from tests.support.violations import closed, opened


class FailingStore(PiccoloStore):
    """A real store whose `apply` fails as often as it is told, after so many passes, before or after its commit."""

    passes: int = 0
    failures: int = 0
    after_commit: bool = False

    async def apply(self, records: Sequence[ViolationRecord], states: Sequence[CameraStates] = ()) -> Sequence[Event]:
        if self.passes or not self.failures:
            self.passes = max(0, self.passes - 1)
            return await super().apply(records, states)
        self.failures -= 1
        if self.after_commit:
            await super().apply(records, states)
        raise DatabaseError("the connection was lost")


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[SqliteSpool]:
    async with await SqliteSpool.open(tmp_path / "spool.db") as opened_spool:
        yield opened_spool


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FailingStore]:
    engine = make_engine(None, tmp_path)
    await migrate(engine)
    opened_store = await FailingStore.open(engine)
    yield opened_store
    await opened_store.close()


class Pauses:
    """Notes how long the drain would have slept."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


async def _until_empty(drain: Drain, spool: SqliteSpool) -> None:
    running = asyncio.create_task(drain.run())
    while await spool.depth():  # noqa: ASYNC110 - the drain is not to know that somebody waits
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_waits_goes_to_the_database_and_then_to_listeners(spool: SqliteSpool, store: FailingStore) -> None:
    bus = MemoryEventBus()
    listener = bus.listen()
    record = opened()
    records = [record, closed(record.violation), *(opened() for _ in range(10))]
    await spool.commit(records, {})
    drain = Drain(spool, store, bus, settings=DrainSettings(batch=5))

    await _until_empty(drain, spool)

    assert [(await anext(listener)).number for _ in records] == list(range(1, len(records) + 1))
    assert len(await store.violations(ViolationQuery())) == 11
    assert drain.healthy
    assert drain.lag == 0


async def test_it_waits_to_be_woken_and_then_goes_on(spool: SqliteSpool, store: FailingStore) -> None:
    bus = MemoryEventBus()
    listener = bus.listen()
    drain = Drain(spool, store, bus)
    running = asyncio.create_task(drain.run())

    for number in (1, 2, 3):
        await spool.commit([opened()], {})
        drain.wake()
        assert (await anext(listener)).number == number

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_pauses_double_up_to_a_limit_while_the_database_is_away(spool: SqliteSpool, store: FailingStore) -> None:
    pauses = Pauses()
    settings = DrainSettings(first_pause_s=1.0, longest_pause_s=6.0)
    drain = Drain(spool, store, MemoryEventBus(), settings=settings, sleep=pauses, jitter=lambda: 0.5)
    await spool.commit([opened()], {})
    store.failures = 5

    await _until_empty(drain, spool)

    assert pauses.seconds == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert drain.healthy
    assert not drain.fault


async def test_a_failure_is_told_and_nothing_is_dropped(spool: SqliteSpool, store: FailingStore) -> None:
    reached = asyncio.Event()

    async def never(_: float) -> None:
        reached.set()
        await asyncio.Future()

    drain = Drain(spool, store, MemoryEventBus(), sleep=never)
    await spool.commit([opened(), opened()], {})
    store.failures = 1
    running = asyncio.create_task(drain.run())
    await reached.wait()

    assert not drain.healthy
    assert drain.fault == "the connection was lost"
    assert drain.lag == 2
    assert await spool.depth() == 2
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_listeners_are_told_when_only_the_answer_of_a_commit_was_lost(
    spool: SqliteSpool, store: FailingStore
) -> None:
    bus = MemoryEventBus()
    follower = follow(store, bus, after=0)
    first = asyncio.ensure_future(anext(follower))
    drain = Drain(spool, store, bus, sleep=Pauses())
    await spool.commit([opened(), opened()], {})
    store.failures, store.after_commit = 1, True

    await _until_empty(drain, spool)

    assert (await first).number == 1
    assert (await anext(follower)).number == 2
    await follower.aclose()


@pytest.mark.parametrize("after_commit", [False, True])
async def test_failures_between_batches_lose_and_double_nothing(
    spool: SqliteSpool, store: FailingStore, after_commit: bool
) -> None:
    await spool.commit([opened() for _ in range(23)], {})
    store.passes, store.failures, store.after_commit = 2, 2, after_commit

    await _until_empty(Drain(spool, store, MemoryEventBus(), settings=DrainSettings(batch=5), sleep=Pauses()), spool)

    assert store.failures == 0
    assert await store.count_by_status() == {"open": 23}
    assert [event.number for event in await store.events_after(0, 100)] == list(range(1, 24))


@pytest.mark.parametrize("turns", range(0, 60, 4))
async def test_cancelled_anywhere_it_loses_and_doubles_nothing(
    spool: SqliteSpool, store: FailingStore, turns: int
) -> None:
    await spool.commit([opened() for _ in range(20)], {})
    drain = Drain(spool, store, MemoryEventBus(), settings=DrainSettings(batch=5))
    running = asyncio.create_task(drain.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    await _until_empty(Drain(spool, store, MemoryEventBus()), spool)

    assert await store.count_by_status() == {"open": 20}
    assert [event.number for event in await store.events_after(0, 100)] == list(range(1, 21))
