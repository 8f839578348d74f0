"""Which declarations are taken, and what becomes of a runtime that leaves."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.domain.capability import DEFAULT_ADAPTATION, Capability
from gateway.domain.clock import SystemClock
from gateway.domain.runtime import Drainage, RuntimeState
from gateway.errors import ConflictError, InvalidInputError, NotFoundError
from tests.support.api_app import a_capability
from tests.support.unserved_runtimes import HERE, THERE, Registry


def drainage(draining: bool, hour: int) -> Drainage:
    return Drainage(draining=draining, decided_at=dt.datetime(2026, 1, 31, hour, tzinfo=dt.UTC))


@pytest.fixture
async def made() -> AsyncIterator[Registry]:
    registry = Registry()
    yield registry
    await registry.close()


async def test_a_second_runtime_of_the_same_id_is_refused_while_the_first_answers(made: Registry):
    made.register(HERE)
    made.connected()
    with pytest.raises(ConflictError, match="RUTH_AI_RUNTIME_ID"):
        made.register(THERE)
    (registered,) = made.registry
    assert registered.capability.grpc_url == HERE


async def test_a_runtime_that_moved_is_taken_at_its_new_address_once_the_old_one_is_silent(made: Registry):
    made.register(HERE)
    made.register(THERE)
    (registered,) = made.registry
    assert registered.capability.grpc_url == THERE


async def test_a_runtime_that_leaves_is_forgotten_when_its_last_frame_is_done_with(made: Registry):
    made.register()
    made.connected()
    flying = [3]
    leaving = asyncio.create_task(made.registry.retire("triton-1", lambda: flying[0]))
    await asyncio.sleep(0.05)
    (registered,) = made.registry
    assert not registered.ready
    assert registered.status(3, 4).state is RuntimeState.DRAINING
    assert not leaving.done()
    flying[0] = 0
    await leaving
    assert list(made.registry) == []
    with pytest.raises(NotFoundError):
        await made.registry.retire("triton-1", lambda: 0)


async def test_a_runtime_that_comes_back_while_it_leaves_stays(made: Registry):
    made.register()
    leaving = asyncio.create_task(made.registry.retire("triton-1", lambda: 1))
    await asyncio.sleep(0.02)
    made.register()
    await leaving
    (registered,) = made.registry
    assert not registered.leaving


async def test_a_drained_runtime_stays_so_over_its_heartbeats(made: Registry):
    made.register()
    made.connected()
    made.registry.drain("triton-1", drainage(True, 1))
    made.register(max_fps=10)
    (registered,) = made.registry
    assert not registered.ready
    made.registry.drain("triton-1", drainage(False, 2))
    assert registered.ready
    with pytest.raises(NotFoundError):
        made.registry.drain("triton-2", drainage(True, 1))


@pytest.mark.parametrize(
    ("hardware", "max_fps", "max_camera_fps", "batch_size", "timeout_s"),
    [("cpu", 20, 5, 1, 2.0), ("gpu", 20, 20, 8, 0.1), ("jetson", 20, 20, 2, 0.2)],
)
async def test_the_scheduler_gets_the_limits_of_the_adaptation_table(
    made: Registry, hardware: str, max_fps: float, max_camera_fps: float, batch_size: int, timeout_s: float
):
    capability = msgspec.convert(
        msgspec.to_builtins(a_capability()) | {"hardware_type": hardware, "inference_batch_size": 8}, Capability
    )
    made.registry.register(capability)
    (registered,) = made.registry
    assert msgspec.structs.astuple(registered.limits)[:4] == (max_fps, max_camera_fps, batch_size, timeout_s)


async def test_hardware_without_a_row_is_refused(made: Registry):
    table = {kind: row for kind, row in DEFAULT_ADAPTATION.items() if kind != "cpu"}
    made.registry._table = table
    with pytest.raises(InvalidInputError, match="no row for hardware_type cpu"):
        made.register()


async def test_of_two_decisions_the_newer_counts_in_whatever_order_they_come(made: Registry):
    made.register()
    made.connected()
    (registered,) = made.registry
    made.registry.drain("triton-1", drainage(True, 2))
    made.registry.drain("triton-1", drainage(False, 1))
    assert not registered.ready
    made.registry.drain("triton-1", drainage(False, 3))
    assert registered.ready


async def test_a_declaration_that_was_longer_on_its_way_changes_nothing(made: Registry):
    made.register(max_fps=20)
    made.registry.register(msgspec.structs.replace(a_capability(), grpc_url=THERE, max_fps=5), age_s=1.0)
    (registered,) = made.registry
    assert (registered.capability.grpc_url, registered.capability.max_fps) == (HERE, 20)


@pytest.mark.parametrize(
    ("answers", "age_s", "hearing_for_s", "is_kept"),
    [
        (False, 5.0, 100.0, True),
        (False, 7.0, 100.0, False),
        (True, 7.0, 100.0, False),
        (True, 7.0, None, True),  # its heartbeats may go to another replica
        (True, 100.0, 5.0, True),
        (True, 100.0, 7.0, False),
        (False, 7.0, None, False),  # it neither answers nor declares itself
        (False, 7.0, 1.0, False),
    ],
)
async def test_a_runtime_is_out_after_three_heartbeats_that_would_have_been_heard(
    made: Registry, answers: bool, age_s: float, hearing_for_s: float | None, is_kept: bool
):
    made.registry.register(a_capability(), age_s=age_s)
    if answers:
        made.connected()
    hearing_since_s = None if hearing_for_s is None else SystemClock().monotonic() - hearing_for_s
    made.registry.expire(hearing_since_s)
    assert bool(list(made.registry)) is is_kept
