"""The database goes away and comes back: what was detected meanwhile arrives, once."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import DatabaseError
from gateway.events.bus import MemoryEventBus
from gateway.events.follow import follow
from gateway.store.database_errors import database_call
from gateway.store.drain import Drain, DrainSettings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.spool import SqliteSpool
from gateway.store.sqlite_engine import PooledSQLiteEngine
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.violations import opened


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


async def test_violations_of_a_postgresql_outage_arrive_once_when_it_is_back(
    postgres: PrivatePostgres, tmp_path: Path
) -> None:
    engine = make_engine(postgres.new_database(), tmp_path, pool_size=2)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    bus = MemoryEventBus()
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        drain = Drain(spool, store, bus, settings=DrainSettings(batch=3, first_pause_s=0.02, longest_pause_s=0.1))
        running = asyncio.create_task(drain.run())
        follower = follow(store, bus, after=0)
        records = [opened() for _ in range(40)]

        await spool.commit(records[:10], {})
        drain.wake()
        seen = [(await anext(follower)).said()["id"] for _ in range(10)]
        await asyncio.to_thread(postgres.stop)
        for record in records[10:]:
            await spool.commit([record], {})
            drain.wake()
        while drain.healthy:  # noqa: ASYNC110 - health is polled, as it is by /health
            await asyncio.sleep(0.01)
        with pytest.raises(DatabaseError):
            await store.ping()
        assert await spool.depth() == 30
        await asyncio.to_thread(postgres.start)
        seen += [(await anext(follower)).said()["id"] for _ in range(30)]

        assert seen == [record.violation.id for record in records]
        while not drain.healthy or await spool.depth():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await store.count_by_status() == {"open": 40}
    await store.close()


async def test_connections_killed_within_transactions_do_not_use_up_the_pool(
    postgres: PrivatePostgres, tmp_path: Path
) -> None:
    engine = make_engine(postgres.new_database(), tmp_path, pool_size=2)
    assert isinstance(engine, PooledPostgresEngine)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    for _ in range(5):
        with pytest.raises(DatabaseError):
            await _killed_within_a_transaction(engine, store)

    await asyncio.gather(*(store.apply([opened()]) for _ in range(4)))

    assert await store.count_by_status() == {"open": 4}
    await store.close()


@database_call
async def _killed_within_a_transaction(engine: PooledPostgresEngine, store: PiccoloStore) -> None:
    async with engine.transaction() as transaction:
        await store.apply([opened()])
        backend = transaction.connection.get_server_pid()
        os.kill(backend, signal.SIGTERM)  # ends this one connection, as a crash would
        await store.apply([opened()])


async def test_a_locked_sqlite_file_is_an_error_after_a_while_and_then_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite_engine.BUSY_TIMEOUT_S", 0.05)
    engine = make_engine(None, tmp_path, pool_size=2)
    assert isinstance(engine, PooledSQLiteEngine)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    other = sqlite3.connect(engine.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    for _ in range(5):
        with pytest.raises(DatabaseError, match="locked"):
            await store.apply([opened()])
    assert await store.count_by_status() == {}
    other.execute("ROLLBACK")
    other.close()
    await store.apply([opened()])

    assert await store.count_by_status() == {"open": 1}
    await store.close()


async def test_a_full_sqlite_database_keeps_records_in_the_spool(tmp_path: Path) -> None:
    engine = make_engine(None, tmp_path, pool_size=1)
    assert isinstance(engine, PooledSQLiteEngine)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    connection = await engine.acquire()
    await connection.execute_fetchall("PRAGMA max_page_count = 1")  # SQLite makes this the size it has now
    engine.release(connection)

    with pytest.raises(DatabaseError, match="full"):
        await store.apply([opened() for _ in range(200)])

    connection = await engine.acquire()
    await connection.execute_fetchall("PRAGMA max_page_count = 100000")
    engine.release(connection)
    await store.apply([opened() for _ in range(200)])
    assert await store.count_by_status() == {"open": 200}
    await store.close()
