"""The real HTTP interface over the real SQLite store, evidence folder and event bus, and a fake pipeline."""

import contextlib
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import uuid_utils
from litestar import Litestar

from gateway.api.application import build_app
from gateway.api.services import Services
from gateway.delivery.addresses import parse_networks
from gateway.delivery.post import Poster
from gateway.delivery.webhooks import RetrySettings, WebhookSender
from gateway.domain.capability import Capability, HardwareType, SupportedModel
from gateway.domain.clock import SystemClock
from gateway.domain.definitions import WHOLE_PICTURE
from gateway.domain.rule import Severity
from gateway.domain.violation import Evidence, Violation, ViolationOpened
from gateway.events.bus import MemoryEventBus
from gateway.health import HealthCheck
from gateway.metrics import Metrics
from gateway.store.engine import make_engine
from gateway.store.evidence import EvidenceFolder
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.webhooks import PiccoloWebhooks
from tests.support.fake_control import FakeControl

NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Api:
    """A running interface and what stands behind it."""

    app: Litestar
    http: httpx.AsyncClient
    store: PiccoloStore
    evidence: EvidenceFolder
    bus: MemoryEventBus
    control: FakeControl
    metrics: Metrics
    webhooks: PiccoloWebhooks
    sender: WebhookSender

    async def record(self, violation: Violation) -> None:
        """Put a violation on record and tell the listeners, as the pipeline does."""
        self.bus.publish(await self.store.apply([ViolationOpened(violation=violation)]))


@contextlib.asynccontextmanager
async def running_api(
    folder: Path, runtime_token: str | None = None, allowed_hosts: frozenset[str] = frozenset()
) -> AsyncIterator[Api]:
    """Start everything in a folder; in-process HTTP without sockets."""
    clock = SystemClock()
    engine = make_engine(None, folder)
    await migrate(engine)
    store = await PiccoloStore.open(engine, clock)
    evidence, bus, control, metrics = EvidenceFolder(folder / "evidence"), MemoryEventBus(), FakeControl(), Metrics()
    webhooks = PiccoloWebhooks(engine, clock)
    poster = Poster(parse_networks("127.0.0.0/8"), clock, timeout_s=0.5)
    retries = RetrySettings(first_pause_s=0.05, refusals=2)
    sender = WebhookSender(store, webhooks, bus, poster, clock, holder="test", settings=retries)
    app = build_app(
        Services(
            store=store,
            evidence=evidence,
            bus=bus,
            control=control,
            health=HealthCheck(store, control, clock, version="0.0.1"),
            metrics=metrics,
            webhooks=webhooks,
            sender=sender,
            runtime_token=runtime_token,
            allowed_hosts=allowed_hosts,
            version="0.0.1",
        )
    )
    transport = httpx.ASGITransport(app)
    headers = {"Content-Type": "application/json"}
    async with poster, httpx.AsyncClient(transport=transport, base_url="http://ruth", headers=headers) as http:
        yield Api(app, http, store, evidence, bus, control, metrics, webhooks, sender)
    bus.close()
    await store.close()


def a_violation(**changes: object) -> Violation:
    """A violation as the pipeline would record it."""
    fields: dict[str, object] = {
        "id": str(uuid.UUID(bytes=uuid_utils.uuid7().bytes)),
        "camera_id": "camera-1",
        "rule_id": "rule-1",
        "rule_revision": 1,
        "rule_name": "nobody here",
        "type": "zone_presence",
        "severity": Severity.HIGH,
        "started_at": NOON,
        "label": "person",
        "score": 0.9,
        "box": (1.0, 2.0, 3.0, 4.0),
        "resolution_wh": (640, 480),
        "zone": WHOLE_PICTURE,
        "frame_index": 7,
        "model": "people",
        "model_version": "1",
        "model_sha256": "ab" * 32,
        "runtime_id": "triton-1",
        "latency_ms": 12.5,
        "evidence": Evidence(missing_reason="the disk was full"),
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Violation(**(fields | changes))  # type: ignore[arg-type]


def a_capability(runtime_id: str = "triton-1") -> Capability:
    """What a small runtime declares."""
    return Capability(
        runtime_id=runtime_id,
        hardware_type=HardwareType.CPU,
        supported_models=(SupportedModel(model_id="people", version="1", loaded=True),),
        max_fps=20,
        max_concurrent_streams=4,
        version="1.0.0",
        grpc_url="127.0.0.1:8001",
    )
