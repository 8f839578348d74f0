"""`/metrics`: what was counted, and what is the case at the moment of asking."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from litestar import Response, get
from litestar.params import FromHeader
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.api.problems import documented
from gateway.api.services import Injected, Services
from gateway.domain.breaker import BreakerState
from gateway.domain.camera import CameraState, CameraStatus
from gateway.domain.runtime import RuntimeState, RuntimeStatus
from gateway.errors import DatabaseError
from gateway.health import ComponentHealth, HealthStatus

T = TypeVar("T")

DATABASE_TIMEOUT_S = 1.0
HEALTH_VALUES = {HealthStatus.HEALTHY: 1.0, HealthStatus.DEGRADED: 0.5, HealthStatus.UNHEALTHY: 0.0}


@get(
    "/metrics",
    media_type="text/plain",
    operation_id="get_metrics",
    summary="Metrics for Prometheus",
    tags=["metrics"],
    responses=documented(),
)
async def metrics(services: Injected, accept: FromHeader[str] = "") -> Response[bytes]:
    """In the text format that the caller accepts: Prometheus' or OpenMetrics."""
    encode, media_type = choose_encoder(accept)
    return Response(encode(Scrape(services.metrics.registry, await observe(services))), media_type=media_type)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is the case now.

    Attributes:
        cameras: How each camera on record is doing, by id; empty while the database is away.
        violations_by_status: How many are on record; empty while the database is away.
        runtimes: How each runtime is doing.
        components: How the parts are.
        tasks: How many tasks the event loop has.
    """

    cameras: Mapping[str, CameraStatus]
    violations_by_status: Mapping[str, int]
    runtimes: Sequence[RuntimeStatus]
    components: Mapping[str, ComponentHealth]
    tasks: int


async def observe(services: Services) -> Observation:
    """Look at everything once; a database that is away or slow costs its own figures, not the others."""
    cameras, counts, report = await asyncio.gather(
        _or_default(services.store.cameras(), ()),
        _or_default(services.store.count_by_status(), {}),
        services.health.report(),
    )
    return Observation(
        cameras={camera.id: services.control.camera_status(camera.id) for camera in cameras},
        violations_by_status=counts,
        runtimes=services.control.runtimes(),
        components=report.components.by_name(),
        tasks=len(asyncio.all_tasks()),
    )


class Scrape(Collector):
    """One answer to Prometheus: the counters and one observation."""

    def __init__(self, counters: CollectorRegistry, observation: Observation) -> None:
        self._counters = counters
        self._observation = observation

    def collect(self) -> Iterable[Metric]:
        """Every metric family."""
        yield from self._counters.collect()
        yield from camera_families(self._observation.cameras)
        yield from runtime_families(self._observation.runtimes)
        violations = _family("violations_by_status", "Violations on record.", "status")
        for status, count in self._observation.violations_by_status.items():
            violations.add_metric([status], count)
        yield violations
        health = _family("component_health", "1 healthy, 0.5 degraded, 0 unhealthy.", "component")
        for name, component in self._observation.components.items():
            health.add_metric([name], HEALTH_VALUES[component.status])
        yield health
        tasks = _family("tasks", "Tasks of the event loop; as many as cameras, frames and listeners need.")
        tasks.add_metric([], self._observation.tasks)
        yield tasks


def camera_families(cameras: Mapping[str, CameraStatus]) -> Iterable[Metric]:
    """What is the case of each camera."""
    active = _family("streams_active", "1 while the camera delivers frames.", "camera_id")
    state = _family("stream_state", "1 for the state that the camera is in.", "camera_id", "state")
    fps = _family("camera_fps", "Frames per second wanted, granted and achieved.", "camera_id", "kind")
    waiting = _family("frame_queue_depth", "Frames waiting to be sent.", "camera_id")
    blind = CounterMetricFamily(
        "ruth_ai_camera_blind_seconds",
        "Seconds in which frames were due and none was judged.",
        labels=["camera_id", "reason"],
    )
    blind_rules = CounterMetricFamily(
        "ruth_ai_rule_blind_seconds",
        "The same while the rule was enabled and its schedule held.",
        labels=["camera_id", "rule_id", "reason"],
    )
    for camera_id, status in cameras.items():
        for reason, seconds in status.blind_seconds.items():
            blind.add_metric([camera_id, reason], seconds)
        for rule_id, by_reason in status.rules_blind_seconds.items():
            for reason, seconds in by_reason.items():
                blind_rules.add_metric([camera_id, rule_id, reason], seconds)
        active.add_metric([camera_id], status.state is CameraState.LIVE)
        waiting.add_metric([camera_id], status.frames_waiting)
        for each in CameraState:
            state.add_metric([camera_id, each], status.state is each)
        fps.add_metric([camera_id, "wanted"], status.wanted_fps)
        fps.add_metric([camera_id, "granted"], status.granted_fps)
        fps.add_metric([camera_id, "achieved"], status.achieved_fps)
    return active, state, fps, waiting, blind, blind_rules


def runtime_families(runtimes: Sequence[RuntimeStatus]) -> Iterable[Metric]:
    """What is the case of each runtime, and of all."""
    in_flight = _family("inference_queue_depth", "Frames sent to runtimes and not answered yet.")
    in_flight.add_metric([], sum(runtime.in_flight for runtime in runtimes))
    state = _family("runtime_state", "1 for the state that the runtime is in.", "runtime_id", "state")
    breaker = _family("runtime_breaker_open", "1 while failures keep frames from the runtime.", "runtime_id")
    held = _family("runtime_models_held", "Models that fail and get no frames.", "runtime_id")
    fps = _family("runtime_fps", "Frames per second declared, asked for at most, and answered.", "runtime_id", "kind")
    busy = _family("runtime_utilization_ratio", "Share of the time in which its busiest model computes.", "runtime_id")
    queue = _family("runtime_queue_seconds", "Mean wait of a request in Triton's queue.", "runtime_id")
    pending = _family("runtime_pending_requests", "Requests in Triton's queue.", "runtime_id")
    for runtime in runtimes:
        runtime_id = runtime.capability.runtime_id
        for each in RuntimeState:
            state.add_metric([runtime_id, each], runtime.state is each)
        breaker.add_metric([runtime_id], runtime.breaker is not BreakerState.CLOSED)
        held.add_metric([runtime_id], len(runtime.held_models))
        fps.add_metric([runtime_id, "declared"], runtime.capability.max_fps)
        fps.add_metric([runtime_id, "limit"], runtime.limits.max_fps)
        if runtime.load is not None:
            fps.add_metric([runtime_id, "answered"], runtime.load.answered_fps)
            busy.add_metric([runtime_id], runtime.load.utilization)
            queue.add_metric([runtime_id], runtime.load.queue_ms / 1000)
            pending.add_metric([runtime_id], runtime.load.pending)
    return in_flight, state, breaker, held, fps, busy, queue, pending


def _family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ruth_ai_{name}", documentation, labels=labels)


async def _or_default(answer: Awaitable[T], default: T) -> T:
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S):
            return await answer
    except (TimeoutError, DatabaseError):
        return default
