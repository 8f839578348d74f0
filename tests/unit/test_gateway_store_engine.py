"""Which database a URL means, and how its errors are named."""

import asyncio
import contextlib
import inspect
import sqlite3
from pathlib import Path

import asyncpg.exceptions
import pytest

from gateway.errors import ConfigurationError, DatabaseError
from gateway.store.database_errors import FOREIGN_ERRORS, database_call
from gateway.store.engine import make_engine
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.sqlite_engine import PooledSQLiteEngine


@pytest.mark.parametrize("url", [None, ""])
def test_without_a_url_the_database_is_a_file_in_the_data_folder(tmp_path: Path, url: str | None) -> None:
    engine = make_engine(url, tmp_path / "data")

    assert isinstance(engine, PooledSQLiteEngine)
    assert engine.path == str(tmp_path / "data" / "ruth.db")
    assert (tmp_path / "data").is_dir()


def test_three_slashes_are_relative_and_four_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert make_engine("sqlite:///data/ruth.db", tmp_path).path == "data/ruth.db"  # type: ignore[union-attr]
    assert make_engine(f"sqlite:///{tmp_path}/x.db", tmp_path).path == f"{tmp_path}/x.db"  # type: ignore[union-attr]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_postgresql_url_connects_to_nothing_yet(tmp_path: Path, scheme: str) -> None:
    engine = make_engine(f"{scheme}://ruth:secret@nowhere.invalid:5432/ruth", tmp_path)

    assert isinstance(engine, PooledPostgresEngine)


@pytest.mark.parametrize("url", ["mysql://ruth:secret@db/ruth", "sqlite://ruth.db", "sqlite:///", "ruth:secret@db"])
def test_another_url_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL") as refusal:
        make_engine(url, tmp_path)

    assert "secret" not in str(refusal.value)


async def test_a_database_that_is_away_is_a_database_error_without_the_password(tmp_path: Path) -> None:
    store = await PiccoloStore.open(make_engine("postgresql://ruth:secret@127.0.0.1:9/ruth", tmp_path))

    with pytest.raises(DatabaseError) as refusal:
        await store.ping()

    assert "secret" not in str(refusal.value)
    await store.close()


async def test_a_database_without_tables_is_a_database_error(tmp_path: Path) -> None:
    store = await PiccoloStore.open(make_engine(None, tmp_path))

    with pytest.raises(DatabaseError, match="no such table"):
        await store.cameras()

    await store.close()


async def test_a_gateway_that_starts_while_another_makes_the_file_waits_for_it(tmp_path: Path) -> None:
    engine = PooledSQLiteEngine(tmp_path / "ruth.db", pool_size=1)
    with contextlib.closing(sqlite3.connect(engine.path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (id)")
        other.execute("BEGIN IMMEDIATE")
        opening = asyncio.create_task(engine.acquire())
        assert not (await asyncio.wait({opening}, timeout=0.2))[0]
        other.execute("COMMIT")
        connection = await opening

    ((mode,),) = [row.values() for row in await connection.execute_fetchall("PRAGMA journal_mode")]

    assert mode == "wal"
    engine.release(connection)
    await engine.close()


def test_every_error_of_the_drivers_is_mapped() -> None:
    messages = (asyncpg.exceptions.PostgresLogMessage, asyncpg.exceptions.InterfaceWarning, sqlite3.Warning)
    members = [*vars(sqlite3).values(), *vars(asyncpg.exceptions).values()]
    errors = [member for member in members if inspect.isclass(member) and issubclass(member, Exception)]

    unmapped = [error for error in errors if not issubclass(error, (*FOREIGN_ERRORS, *messages))]

    assert len(errors) > 200
    assert unmapped == []


async def test_an_error_keeps_its_cause() -> None:
    @database_call
    async def fail() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(DatabaseError, match="disk is full") as mapped:
        await fail()

    assert isinstance(mapped.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer in time"),
        (ConnectionResetError(), "ConnectionResetError"),
        (OSError(111, "Connection refused"), "Connection refused"),
    ],
)
async def test_an_error_that_says_nothing_is_still_told_by_a_reason(error: Exception, reason: str) -> None:
    @database_call
    async def fail() -> None:
        raise error

    with pytest.raises(DatabaseError, match=rf"^the database refused or is away: .*{reason}$"):
        await fail()
