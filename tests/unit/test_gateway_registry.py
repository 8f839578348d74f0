"""Which declarations are taken, and what becomes of a runtime that leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from gateway.domain.capability import DEFAULT_ADAPTATION, Capability
from gateway.domain.clock import SystemClock
from gateway.domain.runtime import RuntimeState
from gateway.errors import ConflictError, InvalidInputError, NotFoundError
from gateway.pipeline.registry import RuntimeRegistry
from tests.support.api_app import a_capability

HERE, THERE = "127.0.0.1:1", "127.0.0.1:2"


class Registry:
    """A registry of runtimes that nobody serves."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.changes: list[str] = []
        self.pool = ThreadPoolExecutor(1)
        self.registry = RuntimeRegistry(
            table=DEFAULT_ADAPTATION,
            heartbeat_interval_s=2.0,
            local_host_id="",
            clock=SystemClock(),
            workers=self.pool,
            spawn=self.spawn,
            on_change=self.changes.append,
        )

    def spawn(self, work: Coroutine[None, None, None], name: str) -> "asyncio.Task[None]":
        work.close()  # nothing connects: the tests say what is connected
        self.tasks.append(asyncio.create_task(asyncio.sleep(3600), name=name))
        return self.tasks[-1]

    def register(self, grpc_url: str = HERE, **changes: object) -> None:
        self.registry.register(msgspec.structs.replace(a_capability(), grpc_url=grpc_url, **changes))

    def connected(self) -> None:
        """Have the runtime look as if it answered."""
        (registered,) = self.registry
        registered.connection.state = RuntimeState.READY


@pytest.fixture
async def made() -> AsyncIterator[Registry]:
    registry = Registry()
    yield registry
    for task in registry.tasks:
        task.cancel()
    await asyncio.gather(*registry.tasks, return_exceptions=True)
    registry.pool.shutdown()


async def test_a_second_runtime_of_the_same_id_is_refused_while_the_first_answers(made: Registry):
    made.register(HERE)
    made.connected()
    with pytest.raises(ConflictError, match="RUTH_AI_RUNTIME_ID"):
        made.register(THERE)
    (registered,) = made.registry
    assert registered.capability.grpc_url == HERE


async def test_a_runtime_that_moved_is_taken_at_its_new_address_once_the_old_one_is_silent(made: Registry):
    made.register(HERE)
    made.register(THERE)
    (registered,) = made.registry
    assert registered.capability.grpc_url == THERE


async def test_a_runtime_that_leaves_is_forgotten_when_its_last_frame_is_done_with(made: Registry):
    made.register()
    made.connected()
    flying = [3]
    leaving = asyncio.create_task(made.registry.retire("triton-1", lambda: flying[0]))
    await asyncio.sleep(0.05)
    (registered,) = made.registry
    assert not registered.ready
    assert registered.status(3, 4).state is RuntimeState.DRAINING
    assert not leaving.done()
    flying[0] = 0
    await leaving
    assert list(made.registry) == []
    with pytest.raises(NotFoundError):
        await made.registry.retire("triton-1", lambda: 0)


async def test_a_runtime_that_comes_back_while_it_leaves_stays(made: Registry):
    made.register()
    leaving = asyncio.create_task(made.registry.retire("triton-1", lambda: 1))
    await asyncio.sleep(0.02)
    made.register()
    await leaving
    (registered,) = made.registry
    assert not registered.leaving


async def test_a_drained_runtime_stays_so_over_its_heartbeats(made: Registry):
    made.register()
    made.connected()
    made.registry.drain("triton-1", draining=True)
    made.register(max_fps=10)
    (registered,) = made.registry
    assert not registered.ready
    made.registry.drain("triton-1", draining=False)
    assert registered.ready
    with pytest.raises(NotFoundError):
        made.registry.drain("triton-2", draining=True)


@pytest.mark.parametrize(
    ("hardware", "max_fps", "max_camera_fps", "batch_size", "timeout_s"),
    [("cpu", 20, 5, 1, 2.0), ("gpu", 20, 20, 8, 0.1), ("jetson", 20, 20, 2, 0.2)],
)
async def test_the_scheduler_gets_the_limits_of_the_adaptation_table(
    made: Registry, hardware: str, max_fps: float, max_camera_fps: float, batch_size: int, timeout_s: float
):
    capability = msgspec.convert(
        msgspec.to_builtins(a_capability()) | {"hardware_type": hardware, "inference_batch_size": 8}, Capability
    )
    made.registry.register(capability)
    (registered,) = made.registry
    assert msgspec.structs.astuple(registered.limits)[:4] == (max_fps, max_camera_fps, batch_size, timeout_s)


async def test_hardware_without_a_row_is_refused(made: Registry):
    table = {kind: row for kind, row in DEFAULT_ADAPTATION.items() if kind != "cpu"}
    made.registry._table = table
    with pytest.raises(InvalidInputError, match="no row for hardware_type cpu"):
        made.register()
