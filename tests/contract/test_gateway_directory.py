"""What `RuntimeDirectory` promises, in memory and through a real Redis."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeAlias

import pytest

from gateway.directory.memory import MemoryRuntimeDirectory
from gateway.directory.redis_directory import RedisRuntimeDirectory
from gateway.domain.clock import SystemClock
from gateway.domain.ports import RuntimeDirectory
from gateway.domain.runtime import Drainage, RuntimeEntry
from tests.support.api_app import a_capability
from tests.support.redis_server import PrivateRedis, private_redis

EXPIRY_S = 3.0
NewReplica: TypeAlias = "Callable[[], contextlib.AbstractAsyncContextManager[Replica]]"


class Replica:
    """A replica that remembers what it is told, and lets go of a runtime when the test says so."""

    def __init__(self, directory: RuntimeDirectory) -> None:
        self.directory = directory
        self.entries: dict[str, RuntimeEntry] = {}
        self.told: list[str] = []
        self.left: list[str] = []
        self.may_leave = asyncio.Event()
        self.may_leave.set()

    def heard(self, entry: RuntimeEntry) -> None:
        self.told.append(entry.capability.runtime_id)
        self.entries[entry.capability.runtime_id] = entry

    async def gone(self, runtime_id: str) -> None:
        self.entries.pop(runtime_id, None)
        await self.may_leave.wait()
        self.left.append(runtime_id)

    def known(self) -> Sequence[RuntimeEntry]:
        return list(self.entries.values())

    def tell(self, entry: RuntimeEntry) -> None:
        """Know it and tell it, as a gateway does."""
        self.entries[entry.capability.runtime_id] = entry
        self.directory.tell(entry)


@pytest.fixture(scope="module")
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture(params=["memory", "redis"])
async def new_replica(request: pytest.FixtureRequest) -> NewReplica:
    clock, in_memory = SystemClock(), {}
    if request.param == "redis":
        server: PrivateRedis = request.getfixturevalue("redis")
        server.wipe()

    def directory() -> RuntimeDirectory:
        if request.param == "memory":
            return MemoryRuntimeDirectory(clock, EXPIRY_S, in_memory)
        return RedisRuntimeDirectory(server.url, clock, EXPIRY_S)

    @contextlib.asynccontextmanager
    async def replica() -> AsyncIterator[Replica]:
        made = Replica(directory())
        task = asyncio.create_task(made.directory.run(made))
        try:
            await until(lambda: made.directory.hearing_since_s is not None)
            yield made
        finally:
            task.cancel()
            await asyncio.wait({task})

    return replica


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what another replica has
            await asyncio.sleep(0.01)


def an_entry(runtime_id: str = "triton-1", age_s: float = 0.0, drainage: Drainage | None = None) -> RuntimeEntry:
    return RuntimeEntry(capability=a_capability(runtime_id), age_s=age_s, drainage=drainage or Drainage())


async def test_what_one_replica_tells_every_other_hears_and_not_itself(new_replica: NewReplica) -> None:
    drainage = Drainage(draining=True, decided_at=dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC))
    async with new_replica() as one, new_replica() as two, new_replica() as three:
        one.directory.tell(an_entry(drainage=drainage))
        for other in (two, three):
            await until(lambda other=other: other.entries)
            (heard,) = other.entries.values()
            assert (heard.capability, heard.drainage) == (a_capability(), drainage)
            assert heard.age_s < 1.0
        two.directory.tell(an_entry("triton-2"))
        await until(lambda: "triton-2" in one.entries)
        assert "triton-1" not in one.told


async def test_a_replica_that_begins_later_hears_what_is_known_with_its_age(new_replica: NewReplica) -> None:
    async with new_replica() as one:
        one.tell(an_entry(age_s=1.0))
        async with new_replica() as two:
            await until(lambda: two.entries)
            (heard,) = two.entries.values()
            assert heard.capability == a_capability()
            assert 0.9 <= heard.age_s < EXPIRY_S


async def test_what_is_too_old_is_not_told(new_replica: NewReplica) -> None:
    async with new_replica() as one, new_replica() as two:
        one.tell(an_entry("old", age_s=EXPIRY_S))
        one.tell(an_entry("young"))
        await until(lambda: two.entries)
        async with new_replica() as three:
            await until(lambda: three.entries)
            assert [list(each.entries) for each in (two, three)] == [["young"], ["young"]]


async def test_a_goodbye_is_over_when_every_other_replica_has_let_go(new_replica: NewReplica) -> None:
    async with new_replica() as one, new_replica() as two, new_replica() as three:
        one.tell(an_entry())
        await until(lambda: two.entries and three.entries)
        three.may_leave.clear()
        goodbye = asyncio.create_task(one.directory.say_goodbye("triton-1"))
        await until(lambda: two.left == ["triton-1"] and not three.entries)
        assert not goodbye.done()
        three.may_leave.set()
        await goodbye
        assert (one.left, two.left, three.left) == ([], ["triton-1"], ["triton-1"])


async def test_a_replica_that_hangs_holds_a_goodbye_up_for_seconds_alone(new_replica: NewReplica) -> None:
    async with new_replica() as one, new_replica() as two:
        one.tell(an_entry())
        await until(lambda: two.entries)
        two.may_leave.clear()
        async with asyncio.timeout(4.5):  # the agent waits for 5 s
            await one.directory.say_goodbye("triton-1")
        assert two.left == []


async def test_who_is_alone_says_goodbye_at_once(new_replica: NewReplica) -> None:
    async with new_replica() as one:
        one.tell(an_entry())
        async with asyncio.timeout(1.0):
            await one.directory.say_goodbye("triton-1")
        one.entries.clear()
        async with new_replica() as two:
            one.tell(an_entry("triton-2"))
            await until(lambda: two.entries)
            assert list(two.entries) == ["triton-2"]


async def test_hearing_lasts_as_long_as_it_runs(new_replica: NewReplica) -> None:
    async with new_replica() as one:
        assert one.directory.hearing_since_s is not None
        directory = one.directory
    assert directory.hearing_since_s is None
