"""A runtime registry without anything that serves."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import msgspec

from gateway.domain.capability import DEFAULT_ADAPTATION
from gateway.domain.clock import SystemClock
from gateway.domain.runtime import RuntimeState
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

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.pool.shutdown()
