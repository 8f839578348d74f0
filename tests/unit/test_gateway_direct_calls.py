"""Direct calls: where they go, how many at once, and what cameras leave for them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.capability import RuntimeLimits
from gateway.domain.clock import SystemClock
from gateway.domain.inference import InferenceResult
from gateway.errors import ModelContractError, NotFoundError, RuntimeBusyError, RuntimeUnavailableError
from gateway.metrics import Metrics
from gateway.pipeline.direct import BURST, MAX_WAITING, DirectCalls, SpareRate, spare_fps
from tests.support.pictures import CONTRACT, a_frame, people


class HeldConnection:
    """A connection whose answers a test gives."""

    def __init__(self, name: str, models: tuple[str, ...] = ("people",)) -> None:
        self.runtime_id = name
        self.models = dict.fromkeys(models, CONTRACT)
        self.asked: list[asyncio.Future[InferenceResult]] = []

    def contract(self, model: str) -> None:
        if model != "people":
            raise ModelContractError(f"model {model} isn't loaded on {self.runtime_id}")

    async def infer(self, model: str, frame: object, timeout_s: float) -> InferenceResult:
        assert 0 < timeout_s <= 5
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    def answer(self, error: Exception | None = None) -> None:
        for waiting in self.asked:
            if not waiting.done() and error is None:
                waiting.set_result(InferenceResult(people(), CONTRACT, self.runtime_id, 0.01))
            elif not waiting.done():
                waiting.set_exception(error)


class Registry(list[Any]):
    """Runtimes by hand."""

    def add(self, connection: HeldConnection, batch_size: int = 1, max_fps: float = 1000) -> HeldConnection:
        limits = RuntimeLimits(max_fps=max_fps, max_camera_fps=max_fps, batch_size=batch_size, timeout_s=1)
        capability = SimpleNamespace(runtime_id=connection.runtime_id)
        self.append(SimpleNamespace(guarded=connection, ready=True, limits=limits, capability=capability))
        return connection

    def having(self, model: str) -> list[HeldConnection]:
        if model == "ghosts":
            raise NotFoundError("no runtime that is ready has a model ghosts")
        return [registered.guarded for registered in self]


def calls(registry: Registry, granted_fps: dict[str, float] | None = None, timeout_s: float = 5) -> DirectCalls:
    return DirectCalls(
        registry=registry,  # type: ignore[arg-type]
        metrics=Metrics(),
        clock=SystemClock(),
        granted_fps=lambda runtime_id: (granted_fps or {}).get(runtime_id, 0),
        timeout_s=timeout_s,
    )


async def started(count: int, direct: DirectCalls, model: str = "people") -> list[asyncio.Task[InferenceResult]]:
    tasks = [asyncio.create_task(direct.infer(model, a_frame())) for _ in range(count)]
    for _ in range(10):
        await asyncio.sleep(0)
    return tasks


async def test_calls_spread_over_runtimes_and_one_batch_each_is_on_its_way():
    registry = Registry()
    small, large = registry.add(HeldConnection("small")), registry.add(HeldConnection("large"), batch_size=2)
    tasks = await started(4, calls(registry))
    assert (len(small.asked), len(large.asked)) == (1, 2)
    small.answer()
    await tasks[0]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(small.asked) == 2
    small.answer()
    large.answer()
    assert len(await asyncio.gather(*tasks)) == 4


async def test_a_model_that_hangs_holds_up_its_own_callers_alone():
    registry = Registry()
    connection = registry.add(HeldConnection("triton", ("hangs", "people")))
    direct = calls(registry)
    hanging = await started(3, direct, "hangs")
    (other,) = await started(1, direct, "people")
    assert len(connection.asked) == 2
    connection.asked[1].set_result(InferenceResult(people(), CONTRACT, "triton", 0.01))
    assert (await other).runtime_id == "triton"
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_failed_call_and_a_cancelled_one_give_their_place_back():
    registry = Registry()
    connection = registry.add(HeldConnection("triton"))
    direct = calls(registry)
    failing, given_up, last = await started(3, direct)
    connection.answer(RuntimeUnavailableError("gone"))
    with pytest.raises(RuntimeUnavailableError):
        await failing
    for _ in range(10):
        await asyncio.sleep(0)
    given_up.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    connection.answer()
    assert (await last).runtime_id == "triton"


async def test_a_call_that_gets_no_turn_in_time_is_told_so():
    registry = Registry()
    registry.add(HeldConnection("triton"))
    direct = calls(registry, timeout_s=0.05)
    first, second = await started(2, direct)
    with pytest.raises(RuntimeBusyError, match="no runtime had time"):
        await second
    first.cancel()


async def test_more_callers_than_can_wait_are_turned_away():
    registry = Registry()
    registry.add(HeldConnection("triton"), max_fps=1e6)
    direct = calls(registry)
    tasks = [*await started(1, direct), *await started(MAX_WAITING, direct)]
    with pytest.raises(RuntimeBusyError, match="are waiting already"):
        await direct.infer("people", a_frame())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_while_cameras_want_everything_a_tenth_is_left_and_what_is_above_is_refused():
    registry = Registry()
    connection = registry.add(HeldConnection("triton"), batch_size=100, max_fps=10)
    direct = calls(registry, granted_fps={"triton": 10}, timeout_s=0.5)
    tasks = await started(BURST + 1, direct)
    assert len(connection.asked) == BURST
    with pytest.raises(RuntimeBusyError, match="cameras leave 1 direct calls/s of people"):
        await tasks[-1]
    connection.answer()
    await asyncio.gather(*tasks[:-1])


async def test_cameras_on_runtimes_that_do_not_have_the_model_leave_its_rate_alone():
    registry = Registry()
    connection = registry.add(HeldConnection("triton"), batch_size=100, max_fps=30)
    registry.add(HeldConnection("other", ("pose",)), max_fps=1000)
    direct = calls(registry, granted_fps={"triton": 10, "other": 1000}, timeout_s=0.2)
    tasks = await started(BURST + 1, direct)
    assert len(connection.asked) == BURST
    assert not tasks[-1].done(), "its turn comes in a twentieth of a second; at the least share it would be refused"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_models_callers_fill_no_room_of_another_ones():
    registry = Registry()
    connection = registry.add(HeldConnection("triton", ("hangs", "people")), max_fps=1e6)
    direct = calls(registry)
    hanging = [*await started(1, direct, "hangs"), *await started(MAX_WAITING, direct, "hangs")]
    with pytest.raises(RuntimeBusyError, match=f"{MAX_WAITING} direct calls of hangs are waiting already"):
        await direct.infer("hangs", a_frame())
    (other,) = await started(1, direct, "people")
    connection.asked[-1].set_result(InferenceResult(people(), CONTRACT, "triton", 0.01))
    assert (await other).runtime_id == "triton"
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_what_no_runtime_has_is_told_apart_from_what_is_not_loaded():
    registry = Registry()
    registry.add(HeldConnection("triton"))
    with pytest.raises(NotFoundError):
        await calls(registry).infer("ghosts", a_frame())
    with pytest.raises(ModelContractError, match="isn't loaded"):
        await calls(registry).infer("pose", a_frame())


async def test_a_runtime_that_drains_gets_no_direct_calls():
    registry = Registry()
    registry.add(HeldConnection("triton"))
    registry[0].ready = False
    with pytest.raises(RuntimeUnavailableError, match="draining"):
        await calls(registry).infer("people", a_frame())


def test_what_cameras_do_not_use_is_spare():
    assert spare_fps(30, 0) == 30
    assert spare_fps(30, 25) == 5
    assert spare_fps(30, 30) == spare_fps(30, 29) == 3


def test_a_rate_lets_a_burst_through_and_then_keeps_to_itself():
    spare, now_s, waited_s = SpareRate(), 100.0, []
    for _ in range(BURST + 2):
        waited_s.append(spare.delay_s(2.0, now_s))
        spare.spend(2.0, now_s)
    assert waited_s == [0.0] * BURST + [0.5, 1.0]
    assert spare.delay_s(2.0, now_s + 10) == 0
