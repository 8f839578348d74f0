"""Two replicas' registries, kept in line with each other."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.directory.memory import MemoryRuntimeDirectory
from gateway.domain.clock import SystemClock
from gateway.domain.ports import RuntimeListener
from gateway.domain.runtime import Drainage, RuntimeEntry
from gateway.errors import NotFoundError
from gateway.pipeline.registered import Registered
from gateway.pipeline.roster import Roster
from tests.support.api_app import a_capability
from tests.support.unserved_runtimes import THERE, Registry

EXPIRY_S = 6.0


class Replica:
    """A roster over a registry whose runtimes nobody serves."""

    def __init__(self, replicas: dict[MemoryRuntimeDirectory, RuntimeListener]) -> None:
        self.made = Registry()
        self.flying = 0
        clock = SystemClock()
        directory = MemoryRuntimeDirectory(clock, EXPIRY_S, replicas)
        self.roster = Roster(self.made.registry, directory, lambda _: (self.flying, 4), clock)

    @property
    def only(self) -> Registered:
        (registered,) = self.made.registry
        return registered

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.roster.run())
        await asyncio.sleep(0)
        yield
        await self.made.close()
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def two() -> AsyncIterator[tuple[Replica, Replica]]:
    replicas: dict[MemoryRuntimeDirectory, RuntimeListener] = {}
    one, other = Replica(replicas), Replica(replicas)
    async with one.running(), other.running():
        yield one, other


async def test_a_runtime_that_one_replica_hears_is_known_to_both_and_so_is_its_drain(two: tuple[Replica, Replica]):
    here, there = two
    here.roster.register(a_capability())
    assert there.only.capability == a_capability()
    there.roster.drain("triton-1", draining=True)
    here.roster.register(a_capability())
    assert here.only.drainage.draining
    here.roster.drain("triton-1", draining=False)
    assert not there.only.drainage.draining


async def test_a_later_decision_counts_though_the_other_replicas_clock_was_ahead(two: tuple[Replica, Replica]):
    here, there = two
    here.roster.register(a_capability())
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)
    drained = RuntimeEntry(capability=a_capability(), drainage=Drainage(draining=True, decided_at=ahead))
    here.roster.heard(drained)
    there.roster.heard(drained)
    here.roster.drain("triton-1", draining=False)
    assert [each.only.drainage.draining for each in two] == [False, False]


async def test_a_goodbye_waits_for_the_frames_of_every_replica(two: tuple[Replica, Replica]):
    here, there = two
    here.roster.register(a_capability())
    there.flying = 2
    leaving = asyncio.create_task(here.roster.deregister("triton-1"))
    await asyncio.sleep(0.1)
    assert not leaving.done()
    assert there.only.leaving
    there.flying = 0
    await leaving
    assert [list(each.made.registry) for each in two] == [[], []]
    with pytest.raises(NotFoundError):
        await here.roster.deregister("triton-1")


async def test_what_was_told_before_a_goodbye_does_not_bring_the_runtime_back(two: tuple[Replica, Replica]):
    here, there = two
    here.roster.register(a_capability())
    there.flying = 1
    leaving = asyncio.create_task(here.roster.deregister("triton-1"))
    await asyncio.sleep(0.02)
    there.roster.heard(RuntimeEntry(capability=a_capability()))
    assert there.only.leaving
    assert not there.roster.known()
    there.flying = 0
    await leaving
    assert list(there.made.registry) == []


async def test_a_runtime_that_another_replica_has_and_this_one_can_not_use_is_said_once(
    two: tuple[Replica, Replica], caplog: pytest.LogCaptureFixture
):
    here, there = two
    there.made.register()
    there.made.connected()
    for _ in range(3):
        here.roster.register(msgspec.structs.replace(a_capability(), grpc_url=THERE))
    assert there.only.capability.grpc_url != THERE
    messages = [record for record in caplog.records if "can't be used here" in record.message]
    assert len(messages) == 1
    assert "RUTH_AI_RUNTIME_ID" in messages[0].__dict__["reason"]
