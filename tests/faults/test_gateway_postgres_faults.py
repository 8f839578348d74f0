"""PostgreSQL dies under load, and loses connections when it has committed: all arrives, once."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.events.bus import MemoryEventBus
from gateway.store.drain import Drain, DrainSettings
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.spool import SqliteSpool
from tests.support.cutting_proxy import cutting_proxy
from tests.support.fault_scale import SCALE
from tests.support.history import Stored, faults, stored_at
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.violations import opened

CUTS = round(200 * SCALE)
OUTAGE_S = 60 * SCALE
RATE = 50.0
DRAINED_S = 15.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@dataclass
class Way:
    """From detection to database: a real spool, drain and store; what was shown to it, and what it has acknowledged."""

    spool: SqliteSpool
    drain: Drain
    shown: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def detect(self) -> None:
        """One violation more; the spool has it when this returns."""
        episode = ("camera", str(len(self.shown)))
        self.shown.append(episode)
        record = opened(camera_id=episode[0], label=episode[1])
        await self.spool.commit([record], {})
        self.acknowledged[record.violation.id] = episode
        self.drain.wake()

    async def wait_drained(self, timeout_s: float) -> float:
        """Wait until the spool is empty; how long it took."""
        began_s = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while await self.spool.depth():  # noqa: ASYNC110 - the spool has no event for this
                await asyncio.sleep(0.02)
        return time.monotonic() - began_s

    def faults(self, stored: list[Stored]) -> list[str]:
        """What the independent judge finds wrong."""
        return faults(self.shown, self.acknowledged, stored)


@contextlib.asynccontextmanager
async def way_to(url: str, folder: Path, settings: DrainSettings) -> AsyncIterator[Way]:
    """Open it to a migrated database, draining."""
    store = await PiccoloStore.open(make_engine(url, folder, pool_size=2))
    async with await SqliteSpool.open(folder / "spool.db") as spool:
        drain = Drain(spool, store, MemoryEventBus(), settings=settings)
        running = asyncio.create_task(drain.run())
        try:
            yield Way(spool, drain)
        finally:
            running.cancel()
            await asyncio.wait({running})
            await store.close()


async def migrated(url: str, folder: Path) -> None:
    engine = make_engine(url, folder, pool_size=1)
    await migrate(engine)
    await engine.close()


@pytest.mark.parametrize("cuts", [10, pytest.param(CUTS, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_a_connection_lost_right_after_a_commit_loses_and_doubles_nothing(
    postgres: PrivatePostgres, tmp_path: Path, cuts: int
) -> None:
    url = postgres.new_database()
    await migrated(url, tmp_path)
    user, name = urlsplit(url).username, urlsplit(url).path
    async with cutting_proxy(postgres.folder / ".s.PGSQL.5432", cuts) as (proxy, port):
        through = f"postgresql://{user}@127.0.0.1:{port}{name}?sslmode=disable"
        pauses = DrainSettings(batch=2, first_pause_s=0.01, longest_pause_s=0.01)
        async with way_to(through, tmp_path, pauses) as way:
            while proxy.cuts < cuts:
                await way.detect()
                await asyncio.sleep(0.005)
            await way.wait_drained(60)

            assert way.faults(await stored_at(url)) == []
    assert proxy.cuts == cuts


@pytest.mark.slow
@pytest.mark.timeout(OUTAGE_S * 4 + 120)
async def test_what_is_detected_while_postgresql_is_dead_arrives_soon_after_it_is_back(
    postgres: PrivatePostgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.new_database()
    await migrated(url, tmp_path)
    async with way_to(url, tmp_path, DrainSettings()) as way:
        detecting = asyncio.create_task(_detect_at(RATE, way))
        await asyncio.sleep(2)
        await asyncio.to_thread(postgres.stop)
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(postgres.start)
        waited = await way.spool.depth()
        detecting.cancel()
        await asyncio.wait({detecting})
        drained_s = await way.wait_drained(DRAINED_S)
        wrong = way.faults(await stored_at(url))
    with capsys.disabled():
        print(f"\n{OUTAGE_S:g} s without PostgreSQL: {waited} violations waited, drained in {drained_s:.1f} s")
    assert wrong == []
    assert waited > OUTAGE_S * RATE / 2


async def _detect_at(rate: float, way: Way) -> None:
    began_s = time.monotonic()
    while True:
        await way.detect()
        await asyncio.sleep(max(0.0, began_s + len(way.shown) / rate - time.monotonic()))
