"""Whether the gateway and what it leans on are well: the answers behind the health endpoints."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum

import msgspec

from gateway.domain.clock import Clock
from gateway.domain.ports import Control, Store
from gateway.domain.runtime import RuntimeState, RuntimeStatus, Transport
from gateway.errors import DatabaseError, RuthError
from gateway.logs import SERVICE
from gateway.masking import mask_secrets

Ping = Callable[[], Awaitable[object]]
"""Asks a service for an answer; raises `RuthError` or `OSError` when none comes."""


class HealthStatus(StrEnum):
    """How well something is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class ComponentHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one thing is that the gateway leans on.

    Attributes:
        status: How well it is.
        latency_ms: How long it took to answer; None where it wasn't asked or didn't answer.
        error: What is wrong, in words for a person; None while nothing is.
    """

    status: HealthStatus
    latency_ms: float | None = None
    error: str | None = None


class RuntimeHealth(ComponentHealth, frozen=True, kw_only=True):
    """How the inference runtimes are, taken together.

    Attributes:
        latency_ms: Smoothed time to the detections on the slowest ready runtime.
        hardware_type: What the runtimes declared; several kinds are joined by commas, None without a runtime.
        model_loaded: Whether a ready runtime has a model loaded.
        runtimes_ready: How many take frames now.
        runtimes_registered: How many have declared themselves.
        transport: How frames travel to each ready runtime, and why inline where they do.
    """

    hardware_type: str | None = None
    model_loaded: bool = False
    runtimes_ready: int = 0
    runtimes_registered: int = 0
    transport: dict[str, str] = {}


class Components(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway leans on; a part that isn't configured is left out.

    Attributes:
        database: The record.
        ai_runtime: The inference runtimes, taken together.
        pipeline: The way from frame to violation, the spool included.
        beside: What runs beside that: webhooks, retention and the like; unhealthy for a minute after a crash.
        redis: Registry and fan-out between replicas.
        vas: Where `vas:` cameras come from.
        evidence: The bucket that evidence goes to.
        mqtt: The broker that events are sent to.
        leases: This replica's hold on its cameras.
    """

    database: ComponentHealth
    ai_runtime: RuntimeHealth
    pipeline: ComponentHealth
    beside: ComponentHealth | msgspec.UnsetType = msgspec.UNSET
    redis: ComponentHealth | msgspec.UnsetType = msgspec.UNSET
    vas: ComponentHealth | msgspec.UnsetType = msgspec.UNSET
    evidence: ComponentHealth | msgspec.UnsetType = msgspec.UNSET
    mqtt: ComponentHealth | msgspec.UnsetType = msgspec.UNSET
    leases: ComponentHealth | msgspec.UnsetType = msgspec.UNSET

    def by_name(self) -> Mapping[str, ComponentHealth]:
        """The configured parts."""
        parts: dict[str, ComponentHealth | msgspec.UnsetType] = msgspec.structs.asdict(self)
        return {name: part for name, part in parts.items() if part is not msgspec.UNSET}


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one glance.

    Attributes:
        status: `unhealthy` when no violation could be kept (database or pipeline), `degraded` when less is seen than
            was asked for, else `healthy`.
        service: This program.
        version: Its version.
        timestamp: When it was asked.
        components: The parts.
        uptime_seconds: Since this program started.
    """

    status: HealthStatus
    service: str = SERVICE
    version: str
    timestamp: dt.datetime
    components: Components
    uptime_seconds: int


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether frames can become violations now, and if not, why."""

    ready: bool
    reasons: tuple[str, ...] = ()


VITAL_COMPONENTS = ("database", "pipeline")


class HealthCheck:
    """Asks the parts how they are, each for a bounded time and all at once.

    Args:
        store: The database.
        control: The pipeline and its runtimes.
        clock: For uptime and latency.
        version: Of this program.
        optional: Asks the components that configuration brings, by their names in `Components`; without the answer of
            one the gateway is degraded.
        record_fault: Why the database takes no violations now, empty while it does: a database on a full disk answers
            questions and takes nothing.
        timeout_s: A part that hasn't answered by then is unhealthy.
    """

    def __init__(
        self,
        store: Store,
        control: Control,
        clock: Clock,
        version: str,
        optional: Mapping[str, Ping] | None = None,
        record_fault: Callable[[], str] = lambda: "",
        timeout_s: float = 1.0,
    ) -> None:
        self._store = store
        self._optional = optional or {}
        self._record_fault = record_fault
        self._control = control
        self._clock = clock
        self._version = version
        self._timeout_s = timeout_s
        self._started_s = clock.monotonic()

    async def report(self) -> HealthReport:
        """Ask everything; takes no longer than the time-out."""
        database, *answers = await asyncio.gather(
            self._ask(self._take_violations), *(self._ask(ping) for ping in self._optional.values())
        )
        components = Components(
            database=database,
            ai_runtime=runtime_health(self._control.runtimes()),
            pipeline=_pipeline_health(self._control.fault()),
            **dict(zip(self._optional, answers, strict=True)),
        )
        return HealthReport(
            status=overall(components.by_name()),
            version=self._version,
            timestamp=self._clock.utcnow(),
            components=components,
            uptime_seconds=int(self._clock.monotonic() - self._started_s),
        )

    async def readiness(self) -> Readiness:
        """Ready when the database answers, the pipeline takes frames and a runtime is ready."""
        components = (await self.report()).components.by_name()
        reasons = tuple(
            f"{name}: {components[name].error}"
            for name in (*VITAL_COMPONENTS, "ai_runtime")
            if components[name].status is HealthStatus.UNHEALTHY
        )
        return Readiness(ready=not reasons, reasons=reasons)

    async def _take_violations(self) -> None:
        await self._store.ping()
        if fault := self._record_fault():
            raise DatabaseError(fault)

    async def _ask(self, ping: Ping) -> ComponentHealth:
        started_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                await ping()
        except TimeoutError:
            return ComponentHealth(status=HealthStatus.UNHEALTHY, error=f"no answer within {self._timeout_s:g} s")
        except (RuthError, OSError) as error:
            reason = mask_secrets(str(error)) or type(error).__name__
            return ComponentHealth(status=HealthStatus.UNHEALTHY, error=reason)
        latency_ms = round((self._clock.monotonic() - started_s) * 1000, 3)
        return ComponentHealth(status=HealthStatus.HEALTHY, latency_ms=latency_ms)


def overall(components: Mapping[str, ComponentHealth]) -> HealthStatus:
    """Judge the whole by its parts: a vital part that is down takes everything down, any other degrades."""
    if any(components[name].status is HealthStatus.UNHEALTHY for name in VITAL_COMPONENTS):
        return HealthStatus.UNHEALTHY
    if all(component.status is HealthStatus.HEALTHY for component in components.values()):
        return HealthStatus.HEALTHY
    return HealthStatus.DEGRADED


def runtime_health(runtimes: Sequence[RuntimeStatus]) -> RuntimeHealth:
    """Sum up the runtimes: healthy when all are ready with every model, unhealthy when none is ready.

    One that is drained on purpose, while another is ready, is no trouble.
    """
    ready = [runtime for runtime in runtimes if runtime.state is RuntimeState.READY]
    latencies = [runtime.latency_ms for runtime in ready if runtime.latency_ms is not None]
    model_loaded = any(runtime.capability.loaded_models for runtime in ready)
    error = _runtime_error(runtimes, ready) or (None if model_loaded else "no model is loaded")
    return RuntimeHealth(
        status=_runtime_status(ready, error),
        latency_ms=round(max(latencies), 3) if latencies else None,
        error=error,
        hardware_type=",".join(sorted({r.capability.hardware_type for r in runtimes})) or None,
        model_loaded=model_loaded,
        runtimes_ready=len(ready),
        runtimes_registered=len(runtimes),
        transport={runtime.capability.runtime_id: _transport(runtime) for runtime in ready},
    )


def _runtime_status(ready: Sequence[RuntimeStatus], error: str | None) -> HealthStatus:
    if not ready:
        return HealthStatus.UNHEALTHY
    return HealthStatus.DEGRADED if error else HealthStatus.HEALTHY


def _runtime_error(runtimes: Sequence[RuntimeStatus], ready: Sequence[RuntimeStatus]) -> str | None:
    if not runtimes:
        return "no runtime is registered; start one with `ruth-triton serve --gateway URL`"
    fine = {RuntimeState.READY, RuntimeState.DRAINING} if ready else {RuntimeState.READY}
    troubles = [
        f"{runtime.capability.runtime_id} is {runtime.state}" + (f": {runtime.reason}" if runtime.reason else "")
        for runtime in runtimes
        if runtime.state not in fine
    ]
    troubles += [
        f"model {model} gets no frames on {runtime.capability.runtime_id}: {reason}"
        for runtime in ready
        for model, reason in runtime.held_models.items()
    ]
    return mask_secrets("; ".join(troubles)) or None


def _transport(runtime: RuntimeStatus) -> str:
    if runtime.transport is Transport.INLINE and runtime.transport_reason:
        return f"inline because {runtime.transport_reason}"
    return runtime.transport or "not connected yet"


def _pipeline_health(fault: str) -> ComponentHealth:
    if fault:
        return ComponentHealth(status=HealthStatus.UNHEALTHY, error=mask_secrets(fault))
    return ComponentHealth(status=HealthStatus.HEALTHY)
