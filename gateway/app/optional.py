"""Parts that only some settings bring, imported where these do.

See `docs/adr/0161-a-start-imports-what-it-needs.md`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.directory.memory import MemoryRuntimeDirectory
from gateway.domain.clock import Clock
from gateway.domain.ports import EventBus, RuntimeDirectory
from gateway.errors import ConfigurationError
from gateway.metrics import Metrics
from gateway.pipeline.registry import MISSED_HEARTBEATS
from gateway.settings import Settings
from gateway.sources import VasSession
from gateway.store.evidence import EvidenceFolder
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.staged_evidence import StagedEvidence

if TYPE_CHECKING:
    from gateway.delivery.mqtt import MqttSender
    from gateway.events.redis_bus import RedisEventBus


def redis_bus(settings: Settings, store: PiccoloStore, on_cameras: Callable[[], None]) -> "RedisEventBus | None":
    """The fan-out between replicas; None without `redis_url`. `on_cameras` is called when another changed a camera."""
    if settings.redis_url is None:
        return None
    from gateway.events.redis_bus import RedisEventBus

    return RedisEventBus(settings.redis_url, store, on_cameras=on_cameras)


def runtime_directory(settings: Settings, clock: Clock) -> RuntimeDirectory:
    """How replicas tell each other of runtimes: through Redis, or not at all."""
    expiry_s = settings.heartbeat_interval_s * MISSED_HEARTBEATS
    if settings.redis_url is None:
        return MemoryRuntimeDirectory(clock, expiry_s)
    from gateway.directory.redis_directory import RedisRuntimeDirectory

    return RedisRuntimeDirectory(settings.redis_url, clock, expiry_s)


def mqtt_sender(
    settings: Settings, clock: Clock, store: PiccoloStore, bus: EventBus, metrics: Metrics
) -> "MqttSender | None":
    """What sends events to an MQTT broker; None without `mqtt_url`."""
    if settings.mqtt_url is None:
        return None
    from gateway.delivery.broker import parse_broker
    from gateway.delivery.mqtt import MqttSender
    from gateway.delivery.topics import Topics
    from gateway.store.cursors import PiccoloCursors

    return MqttSender(
        parse_broker(settings.mqtt_url, settings.mqtt_username, settings.mqtt_password, settings.mqtt_ca),
        Topics(settings.mqtt_topic, settings.mqtt_discovery),
        store,
        PiccoloCursors(store.engine, clock),
        bus,
        holder=settings.replica_name,
        on_sent=metrics.mqtt_sent,
        on_failure=metrics.mqtt_failed,
    )


def evidence_store(settings: Settings) -> EvidenceFolder | StagedEvidence:
    """A folder, or a bucket by way of one.

    Raises:
        ConfigurationError: The package for buckets isn't installed.
    """
    place = settings.evidence_place
    if place is None:
        return EvidenceFolder(settings.data_dir / "evidence")
    try:
        from gateway.store.s3_evidence import S3Evidence
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "RUTH_AI_EVIDENCE_URL needs the package obstore: install ruth-ai with its extra s3"
        ) from error
    return StagedEvidence(EvidenceFolder(settings.data_dir / "evidence-staged"), S3Evidence(place), place.staging_bytes)


def vas_session(settings: Settings, clock: Clock, metrics: Metrics) -> VasSession | None:
    """The session that all cameras of a VAS share; None without `vas_base_url`."""
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
