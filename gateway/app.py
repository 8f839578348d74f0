"""The composition root: the only place that chooses implementations, wires them, and starts and stops them."""

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import uvicorn

from gateway.api.application import build_app
from gateway.api.services import Services
from gateway.api.websocket import LARGEST_MESSAGE_BYTES
from gateway.delivery.addresses import parse_networks
from gateway.delivery.post import Poster
from gateway.delivery.webhooks import WebhookSender
from gateway.domain.clock import Clock, SystemClock
from gateway.domain.event import Event
from gateway.errors import ConfigurationError
from gateway.events.bus import MemoryEventBus
from gateway.events.grants import GrantAnnouncer
from gateway.events.redis_bus import RedisEventBus
from gateway.events.stream import KEEP_ALIVE_S
from gateway.health import HealthCheck
from gateway.inference.host import host_id
from gateway.inference.shared_memory import remove_leftovers
from gateway.ipc import ModelSockets
from gateway.metrics import Metrics
from gateway.ownership import CameraOwnership, OwnedControl
from gateway.pipeline import Pipeline
from gateway.settings import Settings
from gateway.sources import MediaSettings, VasSession, open_source
from gateway.store.drain import Drain
from gateway.store.engine import make_engine
from gateway.store.evidence import EvidenceFolder
from gateway.store.leases import PostgresLeases
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.retention import Retention
from gateway.store.sole import SoleOwner
from gateway.store.spool import SqliteSpool
from gateway.store.webhooks import PiccoloWebhooks

_logger = logging.getLogger(__name__)

STOP_S = 10.0
LEAST_FREE_BYTES = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The gateway's parts, open and wired, nothing running yet."""

    store: PiccoloStore
    spool: SqliteSpool
    bus: MemoryEventBus | RedisEventBus
    drain: Drain
    grants: GrantAnnouncer
    sender: WebhookSender
    retention: Retention
    pipeline: Pipeline
    ownership: CameraOwnership
    services: Services


async def serve(settings: Settings) -> int:
    """Run the gateway until a signal; returns the exit status.

    Raises:
        RuthError: It can't start; the message says why and what would do.
    """
    _check_machine(settings)
    async with open_parts(settings, SystemClock()) as parts:
        return await _run(settings, parts)


@contextlib.asynccontextmanager
async def open_parts(settings: Settings, clock: Clock) -> AsyncGenerator[Parts]:
    """Open database, spool and evidence store, wire the rest to them, and close them in the end."""
    engine = make_engine(settings.database_url, settings.data_dir, pool_size=settings.database_pool_size)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(engine.close)  # first, as open connections would keep a failed start from ending
        for migration in await migrate(engine):
            _logger.info("database migrated", extra={"migration": migration})
        store = await PiccoloStore.open(engine, clock)
        spool = await stack.enter_async_context(await SqliteSpool.open(settings.data_dir / "spool.db", clock=clock))
        poster = await stack.enter_async_context(Poster(parse_networks(settings.webhook_networks), clock))
        yield _wire(settings, clock, store, spool, poster)


def _wire(settings: Settings, clock: Clock, store: PiccoloStore, spool: SqliteSpool, poster: Poster) -> Parts:
    def look_at_cameras() -> None:
        ownership.wake()

    async def until_sure() -> None:
        await ownership.until_sure()

    metrics = Metrics()
    bus = (
        RedisEventBus(settings.redis_url, store, on_cameras=look_at_cameras) if settings.redis_url else MemoryEventBus()
    )
    evidence = EvidenceFolder(settings.data_dir / "evidence")
    media = MediaSettings(settings.media_dir, settings.hardware_decoding)
    media.check_hardware()

    def count(event: Event) -> None:
        metrics.event_created(event.camera_id, event.type.value)

    drain = Drain(spool, store, bus, on_event=count, until_sure=until_sure)
    grants = GrantAnnouncer(store, bus, clock, count)
    metrics.watch_spool(lambda: drain.lag)
    vas = _vas_session(settings, clock, metrics)
    pipeline = Pipeline(
        spool=spool,
        evidence=evidence,
        metrics=metrics,
        clock=clock,
        make_source=lambda url: open_source(url, clock, media, vas),
        table=settings.adaptation,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        local_host_id=host_id(),
        on_recorded=drain.wake,
        grants=grants,
        workers=settings.workers,
        direct_timeout_s=settings.runtime_timeout_ms / 1000,
    )
    ownership = _ownership(settings, store, pipeline, clock, drain, bus, metrics)
    shared = isinstance(store.engine, PooledPostgresEngine)
    webhooks = PiccoloWebhooks(store.engine, clock)
    sender = WebhookSender(store, webhooks, bus, poster, clock, holder=settings.replica_name)
    release = version("ruth-ai")
    services = Services(
        store=store,
        evidence=evidence,
        bus=bus,
        control=OwnedControl(pipeline, ownership, settings.replica_name),
        health=HealthCheck(
            store,
            pipeline,
            clock,
            release,
            redis=bus.ping if isinstance(bus, RedisEventBus) else None,
            vas=vas.ping if vas else None,
            leases=ownership.ping if shared else None,
            record_fault=lambda: drain.fault,
        ),
        metrics=metrics,
        webhooks=webhooks,
        sender=sender,
        runtime_token=settings.runtime_token,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        version=release,
    )
    retention = Retention(
        store,
        evidence,
        bus,
        clock,
        settings.retention,
        on_deleted=metrics.evidence_deleted,
        on_trimmed=metrics.events_trimmed,
    )
    return Parts(store, spool, bus, drain, grants, sender, retention, pipeline, ownership, services)


def _ownership(
    settings: Settings,
    store: PiccoloStore,
    pipeline: Pipeline,
    clock: Clock,
    drain: Drain,
    bus: MemoryEventBus | RedisEventBus,
    metrics: Metrics,
) -> CameraOwnership:
    """Replicas on one PostgreSQL share the cameras; a gateway on SQLite has them all."""
    shared = isinstance(store.engine, PooledPostgresEngine)
    name = settings.replica_name
    return CameraOwnership(
        leases=PostgresLeases(store.engine, name, settings.lease_s) if shared else SoleOwner(store, name),
        store=store,
        cameras=pipeline,
        clock=clock,
        name=name,
        lease_s=settings.lease_s if shared else math.inf,
        carried=drain.has_carried,
        announce=bus.announce_cameras if isinstance(bus, RedisEventBus) else lambda: None,
        metrics=metrics,
    )


def _vas_session(settings: Settings, clock: Clock, metrics: Metrics) -> VasSession | None:
    if settings.vas_base_url is None:
        return None
    return VasSession(
        settings.vas_base_url,
        settings.vas_client_id or "",
        settings.vas_client_secret or "",
        refresh_margin_s=settings.vas_token_refresh_margin_s,
        clock=clock,
        on_request=metrics.vas_requested,
    )


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
    grants = asyncio.create_task(parts.grants.run(), name="grants")
    sender = asyncio.create_task(parts.sender.run(), name="webhooks")
    fan_out = asyncio.create_task(_fan_out(parts), name="fan-out")
    sockets = asyncio.create_task(_serve_model_sockets(settings, parts), name="model sockets")
    retention = asyncio.create_task(parts.retention.run(), name="retention")
    ownership = asyncio.create_task(_hold_cameras(parts, started, ready := asyncio.Event()), name="ownership")
    for stage in (pipeline, drain, grants, sender, fan_out, sockets, retention, ownership):
        stage.add_done_callback(lambda _: setattr(server, "should_exit", True))
    http = asyncio.create_task(_serve_http(server, parts.bus), name="http")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    try:
        if await _first(ready, pipeline, ownership):
            _logger.info("gateway ready", extra={"address": f"http://{settings.host}:{settings.port}"})
        await http
    finally:
        for stage in (ownership, grants, sender, fan_out, sockets, retention):
            stage.cancel()
        await asyncio.wait({ownership, grants, sender, fan_out, sockets, retention})
        await _stop(parts, pipeline, drain)
    return _report_crashes(pipeline, drain, ownership, grants, sender, fan_out, sockets, retention)


async def _hold_cameras(parts: Parts, started: asyncio.Event, ready: asyncio.Event) -> None:
    """Start this replica's cameras once the pipeline runs, and go on looking which they are."""
    await started.wait()
    await parts.ownership.begin()
    ready.set()
    await parts.ownership.run()


async def _fan_out(parts: Parts) -> None:
    if isinstance(parts.bus, RedisEventBus):
        await parts.bus.run()
    else:
        await asyncio.Event().wait()


async def _serve_model_sockets(settings: Settings, parts: Parts) -> None:
    if settings.model_socket_dir is None:
        await asyncio.Event().wait()
    else:
        await ModelSockets(settings.model_socket_dir, parts.pipeline).run()


async def _serve_http(server: uvicorn.Server, bus: MemoryEventBus | RedisEventBus) -> None:
    """Serve until a signal; listeners to events are let go first, or their connections would hold the server up."""
    closing = asyncio.create_task(_close_when_exiting(server, bus))
    try:
        await server.serve()
    finally:
        closing.cancel()
        bus.close()


async def _close_when_exiting(server: uvicorn.Server, bus: MemoryEventBus | RedisEventBus) -> None:
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


def _check_machine(settings: Settings) -> None:
    """Find out now what would otherwise fail later, and less clearly."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the data folder {settings.data_dir} can't be made: {error.strerror}") from error
    _check_space(settings.data_dir)
    if settings.model_socket_dir is not None:
        _check_socket_folder(settings.model_socket_dir)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"port {settings.port} on {settings.host} can't be taken ({error.strerror}); "
                "end what holds it, or choose another with --port or RUTH_AI_PORT"
            ) from error
    for name in remove_leftovers():
        _logger.info("shared memory of a killed gateway removed", extra={"region": name})


def _check_socket_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the folder of model sockets {folder} can't be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(f"the folder of model sockets {folder} can't be written to")


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ConfigurationError(
            f"{folder} has {free // 1_000_000} MB free; the gateway needs {LEAST_FREE_BYTES // 1_000_000} MB to be safe"
        )
