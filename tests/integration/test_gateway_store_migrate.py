"""Migrations forwards and back, on both databases."""

import logging
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from piccolo.apps.migrations.auto.diffable_table import DiffableTable
from piccolo.apps.migrations.auto.schema_differ import SchemaDiffer
from piccolo.apps.migrations.auto.schema_snapshot import SchemaSnapshot
from piccolo.apps.migrations.tables import Migration
from piccolo.querystring import QueryString

from gateway.domain.violation import NO_EVIDENCE
from gateway.errors import ConfigurationError, DatabaseError
from gateway.store import migrate as migrate_module
from gateway.store import piccolo_migrations
from gateway.store.engine import DatabaseEngine, make_engine
from gateway.store.migrate import known_migrations, load_migration, migrate, migrate_back
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.tables import TABLES, ViolationRow
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.violations import opened

REPLICA = """
import asyncio, sys
from pathlib import Path
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate

async def main():
    engine = make_engine(sys.argv[1], Path(sys.argv[2]))
    print(len(await migrate(engine)))
    await engine.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres").new_database())
    return f"sqlite:///{tmp_path}/nested/ruth.db"


async def _tables(engine: DatabaseEngine) -> set[str]:
    sql = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        "postgres": "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'",
    }[engine.engine_type]
    return {row["name"] for row in await engine.run_querystring(QueryString(sql))}


async def test_forwards_back_and_forwards_again(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine(url, tmp_path)

    ran = await migrate(engine)
    assert {"camera", "rule", "violation", "outbox"} <= await _tables(engine)
    assert await migrate(engine) == []
    assert await migrate_back(engine, to=ran[0]) == ran[:0:-1]
    assert await migrate(engine) == ran[1:]
    assert await migrate_back(engine) == ran[::-1]
    assert await _tables(engine) == {"migration"}
    assert await migrate(engine) == ran

    store = await PiccoloStore.open(engine)
    await store.apply([opened()])
    await store.close()
    assert capsys.readouterr().out == ""


def test_a_migration_is_known_by_its_id_without_being_imported() -> None:
    assert {migration_id: load_migration(name).ID for migration_id, name in known_migrations().items()} == {
        migration_id: migration_id for migration_id in known_migrations()
    }


NEW_COLUMNS = ("frame_at", "pts_s", "blind_seconds", "clean_evidence", "clip")


async def test_a_gateway_of_the_version_before_goes_on_reading_and_writing(url: str, tmp_path: Path) -> None:
    engine = make_engine(url, tmp_path)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    record = opened()
    await store.apply([record])
    known = [column for column in ViolationRow.all_columns() if column._meta.name not in NEW_COLUMNS]

    (row,) = await ViolationRow.select(*known)
    names = [*row]
    values = [QueryString("{}", "older" if name == "id" else row[name]) for name in names]
    places = ", ".join("{}" for _ in names)
    await engine.run_querystring(QueryString(f"INSERT INTO violation ({', '.join(names)}) VALUES ({places})", *values))

    older = await store.violation("older")
    assert older == msgspec.structs.replace(
        record.violation,
        id="older",
        frame_at=None,
        pts_s=None,
        blind_seconds=0.0,
        clean_evidence=NO_EVIDENCE,
        clip=NO_EVIDENCE,
    )
    await store.close()


async def test_violations_outlive_migrations_back_and_forwards(url: str, tmp_path: Path) -> None:
    engine = make_engine(url, tmp_path)
    ran = await migrate(engine)
    store = await PiccoloStore.open(engine)
    record = opened()
    await store.apply([record])
    await store.close()
    engine = make_engine(url, tmp_path)

    undone = await migrate_back(engine, to=ran[2])
    assert await migrate(engine) == undone[::-1]

    store = await PiccoloStore.open(engine)
    kept = await store.violation(record.violation.id)
    assert (kept.evidence, kept.score, kept.clip) == (record.violation.evidence, record.violation.score, NO_EVIDENCE)
    assert list(await store.audit(kept.id)) == []
    await store.close()


def test_replicas_that_start_at_once_migrate_once(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", REPLICA, url, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    replicas = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]

    outputs = [replica.communicate()[0].strip() for replica in replicas]

    assert [replica.returncode for replica in replicas] == [0, 0]
    assert sorted(outputs) == ["0", str(len(list(pkgutil.iter_modules(piccolo_migrations.__path__))))]


@pytest.mark.parametrize("unknown", ["9999-01-01T00:00:00:000000", "2026-01-01T00:00:08:000000"])
async def test_a_database_of_a_newer_gateway_is_left_as_it_is(url: str, tmp_path: Path, unknown: str) -> None:
    engine = make_engine(url, tmp_path)
    await migrate(engine)
    await Migration.insert(Migration(name=unknown, app_name="gateway"))

    with pytest.raises(DatabaseError, match=unknown):
        await migrate(engine)

    await engine.close()


def _become_older(monkeypatch: pytest.MonkeyPatch, by: int) -> str:
    """Know so many migrations less; the last that is known."""
    older = dict([*known_migrations().items()][:-by])
    monkeypatch.setattr(migrate_module, "known_migrations", lambda: older)
    return max(older)


def _warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What else is logged depends on the level that an earlier test may have left."""
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_version_before_goes_on_with_tables_that_are_marked_as_fitting_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = make_engine(url, tmp_path)
    newest = (await migrate(engine))[-1]
    assert await migrate(engine) == []
    assert _warned(caplog) == []

    _become_older(monkeypatch, 1)
    assert await migrate(engine) == []
    assert [vars(record)["migrations"] for record in _warned(caplog)] == [newest]

    store = await PiccoloStore.open(engine)
    assert await store.apply([opened()])
    await store.close()


async def test_a_version_before_that_is_told_the_way_back(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(url, tmp_path)
    ran = await migrate(engine)
    with monkeypatch.context() as older:
        last = _become_older(older, 2)
        with pytest.raises(DatabaseError, match=f"--back-to {last}"):
            await migrate(engine)

    assert await migrate_back(engine, to=last) == ran[:-3:-1]
    assert [row["name"] for row in await Migration.select()] == ran[:-2], "no mark of what is undone stays"
    with monkeypatch.context() as older:
        _become_older(older, 2)
        assert await migrate(engine) == []
    await engine.close()


async def test_what_can_not_be_undone_is_refused_and_changes_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(url, tmp_path)
    ran = await migrate(engine)
    with pytest.raises(ConfigurationError, match=f"'yesterday'; it has had {ran[0]}, "):
        await migrate_back(engine, to="yesterday")
    with monkeypatch.context() as older:
        _become_older(older, 1)
        with pytest.raises(ConfigurationError, match=ran[-1]):
            await migrate_back(engine, to=ran[0])
    assert await migrate(engine) == []
    await engine.close()


async def test_the_migrations_lead_to_the_tables_as_they_are_declared() -> None:
    managers = [await load_migration(name).forwards() for name in known_migrations().values()]
    declared = [
        DiffableTable(
            class_name=table.__name__, tablename=table._meta.tablename, columns=table._meta.non_default_columns
        )
        for table in TABLES
    ]

    differ = SchemaDiffer(schema=declared, schema_snapshot=SchemaSnapshot(managers).get_snapshot(), auto_input="y")

    changes = [statement for alter in differ.get_alter_statements() for statement in alter.statements]
    assert changes == [], "run `PICCOLO_CONF=gateway.store.piccolo_conf piccolo migrations new gateway --auto`"
