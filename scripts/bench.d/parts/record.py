"""Violations on record: spooled durably and drained into PostgreSQL, beside bare SQLite and bare asyncpg."""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import asyncpg
import msgspec
from part import Bench, Goal, Table

from gateway.domain.violation import ViolationOpened
from gateway.events.bus import MemoryEventBus
from gateway.store.drain import Drain, DrainSettings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.rows import violation_columns
from gateway.store.spool import SqliteSpool
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.violations import opened

CALLERS = 64
BATCH = DrainSettings().batch


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Both ways, and what the same rows cost without us, one after the other in the same run."""
    count = 2_000 if bench.quick else 10_000
    with private_postgres() as server, tempfile.TemporaryDirectory(dir=bench.folder) as folder:
        seen = [asyncio.run(_figures(server, Path(folder), count)) for _ in range(bench.repeats)]
    median = {name: statistics.median(figures[name] for figures in seen) for name in seen[0]}
    spooled, drained = median["spool"] / median["sqlite"], median["drain"] / median["asyncpg"]
    rows = [
        ("durably spooled, 64 callers", median["spool"], median["sqlite"], spooled),
        ("drained into PostgreSQL", median["drain"], median["asyncpg"], drained),
    ]
    yield Table(
        "Violations a second",
        ("what", "Ruth AI", "bare", "ratio"),
        rows,
        note=f"Bare SQLite: the same bytes, as many to a synced commit as callers. Bare asyncpg: the violations' rows "
        f"alone, {BATCH} to a transaction, by executemany; ours writes audit and events beside them.",
    )
    yield Goal(
        "durably spooled a second",
        "≥ 2000, ≥ 0.5 of bare",
        f"{median['spool']:.0f}, {spooled:.2f}",
        median["spool"] >= 2000 and spooled >= 0.5,
    )
    yield Goal(
        "drained into PostgreSQL a second",
        "≥ 1000, ≥ 0.5 of bare",
        f"{median['drain']:.0f}, {drained:.2f}",
        median["drain"] >= 1000 and drained >= 0.5,
    )


async def _figures(server: PrivatePostgres, folder: Path, count: int) -> dict[str, float]:
    records = [opened() for _ in range(count)]
    path = Path(tempfile.mkdtemp(dir=folder))
    figures = {"sqlite": _bare_sqlite(path / "bare.db", records)}
    figures["asyncpg"] = await _bare_asyncpg(server.new_database(), path, records)
    async with await SqliteSpool.open(path / "spool.db") as spool:
        started_s = time.perf_counter()
        shares = [records[first::CALLERS] for first in range(CALLERS)]
        await asyncio.gather(*(_commit(spool, share) for share in shares))
        figures["spool"] = count / (time.perf_counter() - started_s)
        figures["drain"] = await _drain(spool, server.new_database(), path, count)
    return figures


async def _commit(spool: SqliteSpool, records: Sequence[ViolationOpened]) -> None:
    for record in records:
        await spool.commit([record], {})


async def _drain(spool: SqliteSpool, url: str, folder: Path, count: int) -> float:
    engine = make_engine(url, folder)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    drain = asyncio.create_task(Drain(spool, store, MemoryEventBus()).run())
    started_s = time.perf_counter()
    while await spool.depth():  # noqa: ASYNC110 - as an operator would look
        await asyncio.sleep(0.01)
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
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
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


async def _bare_asyncpg(url: str, folder: Path, records: Sequence[ViolationOpened]) -> float:
    """Transactions of ready rows."""
    engine = make_engine(url, folder)
    await migrate(engine)
    await engine.close()
    columns = [violation_columns(record.violation) for record in records]
    rows = [tuple(each.values()) for each in columns]
    places = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
    insert = f"INSERT INTO violation ({', '.join(columns[0])}) VALUES ({places})"  # noqa: S608
    connection = await asyncpg.connect(url)
    started_s = time.perf_counter()
    for first in range(0, len(rows), BATCH):
        async with connection.transaction():
            await connection.executemany(insert, rows[first : first + BATCH])
    rate = len(rows) / (time.perf_counter() - started_s)
    await connection.close()
    return rate
