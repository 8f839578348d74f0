"""Violations on record: spooled durably and drained into PostgreSQL, beside bare SQLite and bare asyncpg."""

import asyncio
import gc
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from part import Bench, Goal, Table

from gateway.domain.violation import Violation, ViolationOpened, ViolationRecord
from gateway.events.bus import MemoryEventBus
from gateway.store.drain import Drain, DrainSettings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.rows import Row, json_text, violation_columns
from gateway.store.spool import SqliteSpool
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.violations import closed, opened

CALLERS = 64
BATCH = DrainSettings().batch


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Both ways, and what the same rows cost without us, in the same run, on the event loop that the gateway has."""
    count = 2_000 if bench.quick else 10_000
    with private_postgres(synced=True) as server, tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        seen = [uvloop.run(_figures(server, Path(folder), count)) for _ in range(bench.repeats)]
    median = {name: statistics.median(figures[name] for figures in seen) for name in seen[0]}
    peers = [
        ("durably spooled, 64 callers", "spool", "sqlite"),
        ("drained into PostgreSQL, beside the same rows", "drain", "same_rows"),
        ("drained into PostgreSQL, beside the same rows by COPY", "drain", "copied"),
        ("drained into PostgreSQL, beside the violations alone", "drain", "violations"),
        ("opened and ended, drained into PostgreSQL", "drain_ended", None),
    ]
    ratio = {(ours, bare): median[ours] / median[bare] for _, ours, bare in peers if bare}
    yield Table(
        "Records a second",
        ("what", "Ruth AI", "bare", "ratio"),
        [(what, median[ours], median.get(bare or ""), ratio.get((ours, bare or ""))) for what, ours, bare in peers],
        note="Bare SQLite: the same bytes, ready, and the same pragmas; as many to a synced commit as there are "
        f"callers, so that both sync as often. Bare asyncpg: ready rows, {BATCH} a transaction, by executemany and "
        "prepared statements; the same rows are the violation, its audit row and its event. By COPY: what a drain "
        "can't go below, though COPY alone fails on what is there already. PostgreSQL syncs each commit.",
    )
    spooled, same_rows = ratio["spool", "sqlite"], ratio["drain", "same_rows"]
    yield Goal(
        "durably spooled a second",
        "≥ 2000, ≥ 0.5 of bare",
        f"{median['spool']:.0f}, {spooled:.2f}",
        median["spool"] >= 2000 and spooled >= 0.5,
    )
    yield Goal(
        "drained into PostgreSQL a second",
        "≥ 1000, ≥ 0.5 of bare (same rows)",
        f"{median['drain']:.0f}, {same_rows:.2f}; {ratio['drain', 'violations']:.2f} of the violations alone",
        median["drain"] >= 1000 and same_rows >= 0.5,
    )


async def _figures(server: PrivatePostgres, folder: Path, count: int) -> dict[str, float]:
    records = [opened() for _ in range(count)]
    rows = _rows(records)
    gc.collect()
    gc.freeze()  # as the gateway does when it has started: what is there already isn't looked through again
    path = Path(tempfile.mkdtemp(dir=folder))
    figures = {"sqlite": _bare_sqlite(path / "bare.db", records)}
    async with await SqliteSpool.open(path / "spool.db") as spool:
        started_s = time.perf_counter()
        shares = [records[first::CALLERS] for first in range(CALLERS)]
        await asyncio.gather(*(_commit(spool, share) for share in shares))
        figures["spool"] = count / (time.perf_counter() - started_s)
        figures["violations"] = await _bare_asyncpg(server.new_database(), path, rows[:1])
        figures["copied"] = await _bare_asyncpg(server.new_database(), path, rows, copied=True)
        figures["same_rows"] = await _bare_asyncpg(server.new_database(), path, rows)
        figures["drain"] = await _drain(spool, server.new_database(), path, count)
        await spool.commit(_with_ends(records[: count // 2]), {})
        figures["drain_ended"] = await _drain(spool, server.new_database(), path, count)
    gc.unfreeze()
    return figures


def _with_ends(records: Sequence[ViolationOpened]) -> list[ViolationRecord]:
    return [record for opening in records for record in (opening, closed(opening.violation))]


async def _commit(spool: SqliteSpool, records: Sequence[ViolationOpened]) -> None:
    for record in records:
        await spool.commit([record], {})


async def _drain(spool: SqliteSpool, url: str, folder: Path, count: int) -> float:
    engine = make_engine(url, folder)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    numbers, told = iter(range(1, count + 1)), asyncio.Event()

    def count_event(_: object) -> None:
        if next(numbers) == count:
            told.set()

    draining = Drain(spool, store, MemoryEventBus(), on_event=count_event)
    started_s = time.perf_counter()
    drain = asyncio.create_task(draining.run())
    await told.wait()
    while await spool.depth():  # noqa: ASYNC110 - the last batch has been told of, and is dropped in a moment
        await asyncio.sleep(0.001)
    rate = count / (time.perf_counter() - started_s)
    drain.cancel()
    await asyncio.wait({drain})
    await store.close()
    return rate


def _bare_sqlite(path: Path, records: Sequence[ViolationOpened]) -> float:
    """Synced commits of as many payloads as the spool has callers."""
    payloads = [(msgspec.json.encode(record),) for record in records]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE record (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB)"
    )
    started_s = time.perf_counter()
    for first in range(0, len(payloads), CALLERS):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO record (payload) VALUES (?)", payloads[first : first + CALLERS])
        connection.execute("COMMIT")
    rate = len(payloads) / (time.perf_counter() - started_s)
    connection.close()
    return rate


def _rows(records: Sequence[ViolationOpened]) -> list[tuple[str, Sequence[Row]]]:
    """What is on record of opened violations: rows by table, ready to be written."""
    violations = [record.violation for record in records]
    return [
        ("violation", [violation_columns(violation) for violation in violations]),
        ("violation_audit", [_audit(violation) for violation in violations]),
        ("outbox", [_event(violation) for violation in violations]),
    ]


def _audit(violation: Violation) -> Row:
    created = {"at": violation.created_at, "actor": "gateway", "action": "created", "note": ""}
    return {"violation_id": violation.id, **created}


def _event(violation: Violation) -> Row:
    told = {"at": violation.created_at, "payload": json_text(violation)}
    return {"type": "violation.opened", "camera_id": violation.camera_id, **told}


async def _bare_asyncpg(
    url: str, folder: Path, tables: Sequence[tuple[str, Sequence[Row]]], *, copied: bool = False
) -> float:
    """Transactions of ready rows; violations a second."""
    engine = make_engine(url, folder)
    await migrate(engine)
    await engine.close()
    ready = [(table, list(rows[0]), [tuple(row.values()) for row in rows]) for table, rows in tables]
    count = len(ready[0][2])
    connection = await asyncpg.connect(url)
    started_s = time.perf_counter()
    for first in range(0, count, BATCH):
        async with connection.transaction():
            for table, columns, rows in ready:
                batch = rows[first : first + BATCH]
                if copied:
                    await connection.copy_records_to_table(table, records=batch, columns=columns)
                else:
                    await connection.executemany(_insert(table, columns), batch)
    rate = count / (time.perf_counter() - started_s)
    await connection.close()
    return rate


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - our own tables and columns
