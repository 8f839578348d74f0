import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from gateway.domain.capability import DEFAULT_ADAPTATION, Capability, HardwareType, SupportedModel, adapt
from gateway.domain.runtime import RuntimeState, RuntimeStatus, Transport
from gateway.errors import DatabaseError
from gateway.health import ComponentHealth, HealthCheck, HealthStatus, overall, runtime_health
from tests.support.fake_control import FakeControl

HEALTHY, DEGRADED, UNHEALTHY = HealthStatus


class _Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def utcnow(self) -> dt.datetime:
        return dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class _Database:
    """What health asks of a store."""

    def __init__(self, ping: Callable[[], Awaitable[None]]) -> None:
        self.ping = ping


async def _answers() -> None:
    pass


async def _is_away() -> None:
    raise DatabaseError("can't connect to postgresql://ruth:hunter2@db")


async def _hangs() -> None:
    await asyncio.Event().wait()


def _check(ping: Callable[[], Awaitable[None]], control: FakeControl | None = None, **more: object) -> HealthCheck:
    return HealthCheck(_Database(ping), control or FakeControl(), _Clock(), "1.2.3", timeout_s=0.01, **more)  # type: ignore[arg-type]


def _runtime(state: RuntimeState = RuntimeState.READY, **changes: object) -> RuntimeStatus:
    capability = Capability(
        runtime_id=str(changes.pop("runtime_id", "a")),
        hardware_type=HardwareType(changes.pop("hardware_type", "cpu")),
        max_fps=10,
        max_concurrent_streams=1,
        version="1",
        grpc_url="h:1",
        supported_models=(SupportedModel(model_id="people", version="1", loaded=True),),
    )
    limits = adapt(capability, DEFAULT_ADAPTATION)
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return RuntimeStatus(capability=capability, limits=limits, state=state, last_heartbeat_at=now, **changes)  # type: ignore[arg-type]


async def test_a_database_that_hangs_is_unhealthy_and_nothing_waits_for_it() -> None:
    report = await _check(_hangs).report()
    assert (report.status, report.components.database.status) == (UNHEALTHY, UNHEALTHY)
    assert report.components.database.error == "no answer within 0.01 s"


async def test_a_database_that_is_away_is_unhealthy_and_shows_no_password() -> None:
    report = await _check(_is_away).report()
    assert report.components.database.error == "can't connect to postgresql://ruth:***@db"
    assert not (await _check(_is_away).readiness()).ready


async def test_what_is_not_configured_is_left_out_and_what_is_degrades() -> None:
    control = FakeControl()
    control.registered = {"a": _runtime()}
    without = (await _check(_answers, control).report()).components.by_name()
    broken = await _check(_answers, control, optional={"redis": _is_away}).report()
    unheard = await _check(_answers, control, optional={"redis": _answers, "mqtt": _is_away}).report()
    assert not {"redis", "mqtt"} & without.keys()
    assert (broken.status, unheard.status) == (DEGRADED, DEGRADED)
    assert unheard.components.by_name()["mqtt"].status is UNHEALTHY
    assert (await _check(_answers, control, optional={"redis": _is_away}).readiness()).ready


async def test_the_report_tells_version_time_and_uptime() -> None:
    check = _check(_answers)
    check._clock.now_s += 61.7
    report = await check.report()
    assert (report.version, report.uptime_seconds, report.service) == ("1.2.3", 61, "ruth-ai-backend")


@pytest.mark.parametrize(
    ("database", "pipeline", "ai_runtime", "expected"),
    [
        (HEALTHY, HEALTHY, HEALTHY, HEALTHY),
        (HEALTHY, HEALTHY, DEGRADED, DEGRADED),
        (HEALTHY, HEALTHY, UNHEALTHY, DEGRADED),
        (UNHEALTHY, HEALTHY, HEALTHY, UNHEALTHY),
        (HEALTHY, UNHEALTHY, HEALTHY, UNHEALTHY),
    ],
)
def test_only_what_keeps_violations_from_being_kept_is_unhealthy(
    database: HealthStatus, pipeline: HealthStatus, ai_runtime: HealthStatus, expected: HealthStatus
) -> None:
    parts = {"database": database, "pipeline": pipeline, "ai_runtime": ai_runtime}
    assert overall({name: ComponentHealth(status=status) for name, status in parts.items()}) is expected


def test_no_runtime_is_unhealthy_and_tells_what_to_start() -> None:
    health = runtime_health([])
    assert (health.status, health.hardware_type) == (UNHEALTHY, None)
    assert "ruth-triton" in str(health.error)


def test_one_runtime_of_two_is_degraded_and_tells_which_and_why() -> None:
    away = _runtime(RuntimeState.UNAVAILABLE, runtime_id="b", hardware_type="gpu", reason="connection refused")
    health = runtime_health([_runtime(latency_ms=12.3456), away])
    assert (health.status, health.error) == (DEGRADED, "b is unavailable: connection refused")
    assert (health.hardware_type, health.latency_ms) == ("cpu,gpu", 12.346)
    assert (health.runtimes_ready, health.runtimes_registered) == (1, 2)


def test_frames_that_travel_inline_are_told_with_the_reason_but_are_well() -> None:
    health = runtime_health([_runtime(transport=Transport.INLINE, transport_reason="the runtime is on another host")])
    assert health.status is HEALTHY
    assert health.transport == {"a": "inline because the runtime is on another host"}


def test_a_ready_runtime_without_a_loaded_model_is_degraded() -> None:
    idle = _runtime()
    idle = msgspec.structs.replace(idle, capability=msgspec.structs.replace(idle.capability, supported_models=()))
    health = runtime_health([idle])
    assert (health.status, health.model_loaded, health.error) == (DEGRADED, False, "no model is loaded")


async def test_a_database_that_answers_and_takes_no_violations_is_unhealthy() -> None:
    readiness = await _check(_answers, record_fault=lambda: "the disk is full").readiness()

    assert not readiness.ready
    assert "database: the disk is full" in readiness.reasons
