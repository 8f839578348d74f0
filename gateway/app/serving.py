"""Running the gateway's parts until a signal, or until one of them crashes."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Generator
from typing import TYPE_CHECKING

import uvicorn

from gateway.api.application import build_app
from gateway.api.websocket import LARGEST_MESSAGE_BYTES
from gateway.app.machine import check_machine
from gateway.app.parts import Parts, open_parts
from gateway.domain.clock import SystemClock
from gateway.events.bus import MemoryEventBus
from gateway.events.stream import KEEP_ALIVE_S
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.events.redis_bus import RedisEventBus

_logger = logging.getLogger(__name__)

STOP_S = 10.0


async def serve(settings: Settings) -> int:
    """Run the gateway until a signal; returns the exit status.

    Raises:
        RuthError: It can't start; the message says why and what would do.
    """
    check_machine(settings)
    async with open_parts(settings, SystemClock()) as parts:
        return await _run(settings, parts)


class _HttpServer(uvicorn.Server):
    """Leaves signals to us: uvicorn raises them again when it has stopped, and the rest of us would not stop well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


async def _run(settings: Settings, parts: Parts) -> int:
    config = uvicorn.Config(
        build_app(parts.services),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=3,
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_ping_interval=KEEP_ALIVE_S,
    )
    server = _HttpServer(config)
    started = asyncio.Event()
    pipeline = asyncio.create_task(parts.pipeline.run(started), name="pipeline")
    drain = asyncio.create_task(parts.drain.run(), name="drain")
    ownership = asyncio.create_task(_hold_cameras(parts, started, ready := asyncio.Event()), name="ownership")
    beside = {ownership, *(asyncio.create_task(part.run(), name=name) for name, part in parts.beside.items())}
    for task in (pipeline, drain, *beside):
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
    http = asyncio.create_task(_serve_http(server, parts.bus), name="http")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    try:
        if await _first(ready, pipeline, ownership):
            _logger.info("gateway ready", extra={"address": f"http://{settings.host}:{settings.port}"})
        await http
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        await _stop(parts, pipeline, drain)
    return _report_crashes(pipeline, drain, *beside)


async def _hold_cameras(parts: Parts, started: asyncio.Event, ready: asyncio.Event) -> None:
    """Start this replica's cameras once the pipeline runs, and go on looking which they are."""
    await started.wait()
    await parts.ownership.begin()
    ready.set()
    await parts.ownership.run()


async def _serve_http(server: uvicorn.Server, bus: "MemoryEventBus | RedisEventBus") -> None:
    """Serve until a signal; listeners to events are let go first, or their connections would hold the server up."""
    closing = asyncio.create_task(_close_when_exiting(server, bus))
    try:
        await server.serve()
    finally:
        closing.cancel()
        bus.close()


async def _close_when_exiting(server: uvicorn.Server, bus: "MemoryEventBus | RedisEventBus") -> None:
    while not server.should_exit:  # noqa: ASYNC110 - uvicorn has a flag, no event
        await asyncio.sleep(0.1)
    bus.close()


async def _first(ready: asyncio.Event, *stages: "asyncio.Task[None]") -> bool:
    """Wait until cameras have been started, or a stage has ended instead."""
    waiter = asyncio.create_task(ready.wait())
    await asyncio.wait({waiter, *stages}, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    return ready.is_set()


async def _stop(parts: Parts, pipeline: "asyncio.Task[None]", drain: "asyncio.Task[None]") -> None:
    """Let frames on their way get their verdict and the spool empty itself, but not for ever: it is kept on disk.

    Cameras are given up last, when the database has what their next owners go on from.
    """
    parts.ownership.stop()
    parts.pipeline.stop()
    await asyncio.wait({pipeline}, timeout=STOP_S / 2)
    pipeline.cancel()
    parts.drain.wake()  # for the states that the pipeline kept last
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S / 4):
            while parts.drain.healthy and not await parts.drain.caught_up():  # noqa: ASYNC110 - once, at the end
                await asyncio.sleep(0.02)
    drain.cancel()
    await asyncio.wait({pipeline, drain})
    await parts.ownership.leave()


def _report_crashes(*stages: "asyncio.Task[None]") -> int:
    crashed = [stage for stage in stages if not stage.cancelled() and stage.exception() is not None]
    for stage in crashed:
        _logger.error("stage %s crashed; the gateway ends", stage.get_name(), exc_info=stage.exception())
    return 1 if crashed else 0
