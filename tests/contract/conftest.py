"""Fixtures of contract suites: databases of every kind, one server for each module."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.ports import Store
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from tests.support.postgres import PGBOUNCER, PrivatePostgres, private_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", pytest.param("pgbouncer", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    with _database(request) as url:
        engine = make_engine(url, tmp_path, pool_size=4)
        await migrate(engine)
        opened_store = await PiccoloStore.open(engine, SystemClock())
        yield opened_store
        await opened_store.close()


@contextlib.contextmanager
def _database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """URL of a new database; None for SQLite's own."""
    if request.param == "sqlite":
        yield None
        return
    server: PrivatePostgres = request.getfixturevalue("postgres")
    if request.param == "postgres":
        yield server.new_database()
        return
    if not PGBOUNCER and not os.environ.get("CI"):
        pytest.skip("PgBouncer isn't installed")
    with server.pooled() as url:
        yield url
