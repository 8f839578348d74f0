"""What `CursorStore` promises, on SQLite and on PostgreSQL."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.ports import CursorStore, Store
from gateway.store.cursors import PiccoloCursors
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.tables import CursorRow
from tests.support.claims import let_pass
from tests.support.set_clock import SetClock
from tests.support.violations import opened


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> AsyncIterator[PiccoloStore]:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    engine = make_engine(url, tmp_path, pool_size=4)
    await migrate(engine)
    opened_store = await PiccoloStore.open(engine, clock)
    yield opened_store
    await opened_store.close()


@pytest.fixture
def cursors(store: PiccoloStore, clock: SetClock) -> CursorStore:
    return PiccoloCursors(store.engine, clock)


async def test_a_new_cursor_stands_at_the_newest_event(store: Store, cursors: CursorStore) -> None:
    assert await cursors.hold("early", "a") == 0
    newest = (await store.apply([opened(), opened()]))[-1].number
    assert await cursors.hold("late", "a") == newest
    assert await cursors.hold("early", "a") == 0


async def test_a_cursor_never_goes_back(cursors: CursorStore) -> None:
    await cursors.hold("mqtt", "a")
    for number in (3, 7, 5):
        await cursors.advance("mqtt", number)
    assert await cursors.hold("mqtt", "a") == 7


async def test_one_replica_sends_at_a_time_and_another_goes_on_where_it_was(
    store: PiccoloStore, cursors: CursorStore, clock: SetClock
) -> None:
    assert await cursors.hold("mqtt", "a") == 0
    assert await cursors.hold("mqtt", "b") is None
    assert await cursors.hold("other", "b") == 0
    await let_pass(store, clock, 20)
    assert await cursors.hold("mqtt", "a") == 0
    await cursors.advance("mqtt", 4)
    await let_pass(store, clock, 20)
    assert await cursors.hold("mqtt", "b") is None
    await let_pass(store, clock, 20)
    assert await cursors.hold("mqtt", "b") == 4
    await cursors.release("b")
    assert await cursors.hold("mqtt", "a") == 4


async def test_a_replica_whose_clock_was_ahead_holds_no_longer_than_another(
    store: PiccoloStore, cursors: CursorStore, clock: SetClock
) -> None:
    ahead = SetClock()
    ahead.now += dt.timedelta(days=365)
    assert await PiccoloCursors(store.engine, ahead).hold("mqtt", "a") == 0
    await let_pass(store, clock, 31)
    assert await cursors.hold("mqtt", "b") == 0


async def test_a_claim_that_a_version_before_made_by_a_clock_that_was_ahead_is_nobodys(
    store: PiccoloStore, cursors: CursorStore
) -> None:
    assert await cursors.hold("mqtt", "a") == 0
    far = dt.datetime.now(dt.UTC) + dt.timedelta(days=365)
    await CursorRow.update(held_until=far).where(CursorRow.name == "mqtt")
    assert await cursors.hold("mqtt", "b") == 0


async def test_of_two_who_ask_at_once_one_holds_and_who_renews_keeps_it(cursors: CursorStore) -> None:
    assert await cursors.hold("mqtt", "nobody") == 0
    for _ in range(100):
        await CursorRow.update(held_until=None).where(CursorRow.name == "mqtt")
        free = await asyncio.gather(*(cursors.hold("mqtt", holder) for holder in "ab"))
        assert sorted(free, key=str) == [0, None]
        holder, other = "ab" if free[0] is not None else "ba"
        kept = await asyncio.gather(cursors.hold("mqtt", other), cursors.hold("mqtt", holder))
        assert kept == [None, 0]


async def test_a_claim_of_a_version_before_by_a_clock_that_is_a_little_ahead_holds(
    store: PiccoloStore, cursors: CursorStore, clock: SetClock
) -> None:
    assert await cursors.hold("mqtt", "a") == 0
    await let_pass(store, clock, -1)
    assert await cursors.hold("mqtt", "b") is None
