"""Keeps tritonserver running: starts it, sees it ready, starts it again when it dies or breaks, ends it when asked."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from triton_agent.backoff import Backoff
from triton_agent.errors import ServerFailedError
from triton_agent.logs import Log
from triton_agent.runtime import Runtime
from triton_agent.server import TritonServer
from triton_agent.settings import OnFailure
from triton_agent.triton_api import TritonApi


class Supervisor:
    """Runs one tritonserver after the other.

    Args:
        start: Starts a tritonserver.
        api: Asks it whether it is ready.
        runtime: Told when it comes and goes.
        on_failure: Whether one that ended by itself is started again.
        log: Where it is told.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[TritonServer]],
        api: TritonApi,
        runtime: Runtime,
        on_failure: OnFailure,
        log: Log,
    ) -> None:
        self._start = start
        self._api = api
        self._runtime = runtime
        self._on_failure = on_failure
        self._log = log

    async def run(self, stop: asyncio.Event) -> None:
        """Keep tritonserver running until `stop` is set, then end it.

        Raises:
            ServerFailedError: It ended by itself and is not to be started again.
        """
        stopping = asyncio.create_task(stop.wait())
        backoff = Backoff()
        while not stop.is_set():
            healthy_s = await self._run_once(stopping)
            if stop.is_set():
                break
            delay_s = backoff.delay_s(healthy_s, random.random())  # noqa: S311 # jitter, no secret
            self._log.warning("starting tritonserver again", delay_s=round(delay_s, 3), failures=backoff.failures)
            await asyncio.wait([stopping], timeout=delay_s)
        stopping.cancel()

    async def _run_once(self, stopping: asyncio.Task[bool]) -> float:
        """See one tritonserver through its life; returns for how many seconds it served."""
        began = time.monotonic()
        server = await self._start()
        try:
            served_from = await self._until_ready(server, stopping, began)
            if served_from is not None:
                await self._until_over(server, stopping)
        finally:
            self._runtime.set_up(up=False)
            crashed = not stopping.done()
            status = await server.stop()
        if crashed:
            self._failed(status, server.reason)
        self._log.info("tritonserver stopped", exit_status=status)
        return 0.0 if served_from is None else time.monotonic() - served_from

    async def _until_ready(self, server: TritonServer, stopping: asyncio.Task[bool], began: float) -> float | None:
        """Wait until it serves and say so; returns when that was, None if it ended or is to stop instead."""
        ready = asyncio.create_task(server.wait_ready(self._api))
        await asyncio.wait([ready, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() or not ready.result():
            ready.cancel()
            return None
        now = time.monotonic()
        self._runtime.set_up(up=True)
        self._log.info("tritonserver is ready", seconds=round(now - began, 3))
        return now

    async def _until_over(self, server: TritonServer, stopping: asyncio.Task[bool]) -> None:
        """Wait until it ends, breaks down (then it is killed) or is to stop."""
        ended = asyncio.create_task(server.wait())
        broken = asyncio.create_task(server.wait_broken(self._api))
        await asyncio.wait([ended, broken, stopping], return_when=asyncio.FIRST_COMPLETED)
        if broken.done() and not ended.done():
            self._log.error("tritonserver is broken: killing it", cause=broken.result())
            server.kill()
        broken.cancel()

    def _failed(self, status: int, reason: str) -> None:
        self._log.error("tritonserver ended by itself", exit_status=status, reason=reason)
        if self._on_failure is OnFailure.EXIT:
            raise ServerFailedError(f"tritonserver ended with status {status}: {reason or 'it gave no reason'}")
