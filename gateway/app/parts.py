"""The gateway's parts: opened, chosen by the settings, and wired."""

import contextlib
import logging
import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from gateway.api.hosts import parse_hosts
from gateway.api.services import Services
from gateway.app.beside import Beside, Stage, ask, guarded
from gateway.app.optional import evidence_store, mqtt_sender, redis_bus, runtime_directory, vas_session
from gateway.delivery.addresses import parse_networks
from gateway.delivery.post import Poster
from gateway.delivery.webhooks import WebhookSender
from gateway.domain.clock import Clock
from gateway.domain.event import Event
from gateway.events.bus import MemoryEventBus
from gateway.events.grants import GrantAnnouncer
from gateway.health import HealthCheck, Ping
from gateway.inference.host import host_id
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
from gateway.store.staged_evidence import StagedEvidence
from gateway.store.webhooks import PiccoloWebhooks

if TYPE_CHECKING:
    from gateway.delivery.mqtt import MqttSender
    from gateway.events.redis_bus import RedisEventBus

_logger = logging.getLogger(__name__)

RELEASE = version("ruth-ai")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The gateway's parts, open and wired, nothing running yet.

    Attributes:
        beside: By name, what runs beside the pipeline and the drain, and can be ended at any time.
    """

    store: PiccoloStore
    spool: SqliteSpool
    bus: "MemoryEventBus | RedisEventBus"
    drain: Drain
    pipeline: Pipeline
    ownership: CameraOwnership
    services: Services
    beside: Mapping[str, Beside]


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
    def count(event: Event) -> None:
        metrics.event_created(event.camera_id, event.type.value)

    def look_at_cameras() -> None:
        ownership.wake()

    async def until_sure() -> None:
        await ownership.until_sure()

    metrics = Metrics()
    replicas, vas = redis_bus(settings, store, look_at_cameras), vas_session(settings, clock, metrics)
    bus, evidence = replicas or MemoryEventBus(), evidence_store(settings)
    drain = Drain(spool, store, bus, on_event=count, until_sure=until_sure)
    metrics.watch_spool(lambda: drain.lag)
    grants = GrantAnnouncer(store, bus, clock, count)
    pipeline = _pipeline(settings, clock, spool, evidence, metrics, vas, drain, grants)
    ownership = _ownership(settings, clock, store, pipeline, drain, replicas, metrics)
    webhooks = PiccoloWebhooks(store.engine, clock)
    sender = WebhookSender(store, webhooks, bus, poster, clock, holder=settings.replica_name)
    chosen = _Chosen(replicas, vas, evidence, mqtt_sender(settings, clock, store, bus, metrics))
    stages: dict[str, Stage] = {"grants": grants.run, "webhooks": sender.run, **chosen.stages()}
    stages["retention"] = _retention(settings, clock, store, evidence, bus, metrics).run
    if settings.model_socket_dir is not None:
        stages["model sockets"] = ModelSockets(settings.model_socket_dir, pipeline).run
    beside = guarded(stages)
    pings: dict[str, Ping] = {"beside": partial(ask, beside), **chosen.pings()}
    if _shared(store):
        pings["leases"] = ownership.ping
    health = HealthCheck(store, pipeline, clock, RELEASE, pings, record_fault=lambda: drain.fault)
    services = Services(
        store=store,
        evidence=evidence,
        bus=bus,
        control=OwnedControl(pipeline, ownership, settings.replica_name),
        health=health,
        metrics=metrics,
        webhooks=webhooks,
        sender=sender,
        runtime_token=settings.runtime_token,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        allowed_hosts=parse_hosts(settings.allowed_hosts),
        version=RELEASE,
    )
    return Parts(store, spool, bus, drain, pipeline, ownership, services, beside)


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Parts that only some settings ask for."""

    replicas: "RedisEventBus | None"
    vas: VasSession | None
    evidence: EvidenceFolder | StagedEvidence
    mqtt: "MqttSender | None"

    def stages(self) -> dict[str, Stage]:
        """What they have to run."""
        stages: dict[str, Stage] = {}
        if self.replicas is not None:
            stages["fan-out"] = self.replicas.run
        if isinstance(self.evidence, StagedEvidence):
            stages["evidence"] = self.evidence.run
        if self.mqtt is not None:
            stages["mqtt"] = self.mqtt.run
        return stages

    def pings(self) -> dict[str, Ping]:
        """How each can be asked whether it works."""
        pings: dict[str, Ping] = {}
        if self.vas is not None:
            pings["vas"] = self.vas.ping
        if self.replicas is not None:
            pings["redis"] = self.replicas.ping
        if isinstance(self.evidence, StagedEvidence):
            pings["evidence"] = self.evidence.ping
        if self.mqtt is not None:
            pings["mqtt"] = self.mqtt.ping
        return pings


def _shared(store: PiccoloStore) -> bool:
    """Whether other replicas may use the same database."""
    return isinstance(store.engine, PooledPostgresEngine)


def _ownership(
    settings: Settings,
    clock: Clock,
    store: PiccoloStore,
    pipeline: Pipeline,
    drain: Drain,
    replicas: "RedisEventBus | None",
    metrics: Metrics,
) -> CameraOwnership:
    name, shared = settings.replica_name, _shared(store)
    return CameraOwnership(
        leases=PostgresLeases(store.engine, name, settings.lease_s) if shared else SoleOwner(store, name),
        store=store,
        cameras=pipeline,
        clock=clock,
        name=name,
        lease_s=settings.lease_s if shared else math.inf,
        carried=drain.has_carried,
        announce=replicas.announce_cameras if replicas else lambda: None,
        metrics=metrics,
    )


def _pipeline(
    settings: Settings,
    clock: Clock,
    spool: SqliteSpool,
    evidence: EvidenceFolder | StagedEvidence,
    metrics: Metrics,
    vas: VasSession | None,
    drain: Drain,
    grants: GrantAnnouncer,
) -> Pipeline:
    media = MediaSettings(settings.media_dir, settings.hardware_decoding)
    media.check_hardware()
    return Pipeline(
        spool=spool,
        evidence=evidence,
        metrics=metrics,
        clock=clock,
        make_source=lambda url: open_source(url, clock, media, vas),
        table=settings.adaptation,
        heartbeat_interval_s=settings.heartbeat_interval_s,
        local_host_id=host_id(),
        directory=runtime_directory(settings, clock),
        on_recorded=drain.wake,
        grants=grants,
        workers=settings.workers,
        direct_timeout_s=settings.runtime_timeout_ms / 1000,
    )


def _retention(
    settings: Settings,
    clock: Clock,
    store: PiccoloStore,
    evidence: EvidenceFolder | StagedEvidence,
    bus: "MemoryEventBus | RedisEventBus",
    metrics: Metrics,
) -> Retention:
    return Retention(
        store,
        evidence,
        bus,
        clock,
        settings.retention,
        has=evidence.has if _shared(store) and isinstance(evidence, EvidenceFolder) else None,
        on_deleted=metrics.evidence_deleted,
        on_trimmed=metrics.events_trimmed,
    )
