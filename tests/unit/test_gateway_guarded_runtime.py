"""What circuit breakers make of the outcomes of frames."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.model import Task
from gateway.domain.runtime import RuntimeState
from gateway.errors import (
    InferenceError,
    InferenceRejectedError,
    InferenceTimeoutError,
    ModelContractError,
    RuntimeUnavailableError,
)
from gateway.pipeline.guarded import GuardedRuntime
from tests.support.pictures import CONTRACT, a_frame

FAILURES = 5
LATE, REFUSED = InferenceTimeoutError("no answer"), InferenceRejectedError("bad tensor")
AWAY, BROKEN = RuntimeUnavailableError("connection refused"), ModelContractError("wrong rows")


class Connection:
    """A connected runtime with two models, which answers each as a test says."""

    def __init__(self) -> None:
        self.runtime_id = "triton-1"
        self.state = RuntimeState.READY
        self.reason = ""
        self.contracts = {name: msgspec.structs.replace(CONTRACT, name=name) for name in ("cars", "people")}
        self.errors: dict[str, InferenceError] = {}
        self.asked: list[tuple[str, tuple[int, int]]] = []

    async def infer(self, model: str, frame: Frame, timeout_s: float) -> InferenceResult:
        self.asked.append((model, frame.resolution_wh))
        await asyncio.sleep(0)
        if model in self.errors:
            raise self.errors[model]
        return InferenceResult(Detections.empty(("person",)), CONTRACT, self.runtime_id, timeout_s)


class Guarded:
    """A guarded runtime over such a connection, trying by itself what it holds."""

    def __init__(self) -> None:
        self.connection = Connection()
        self.changes: list[bool] = []
        self.runtime = GuardedRuntime(
            self.connection,  # type: ignore[arg-type]
            lambda: 0.1,
            SystemClock(),
            lambda: self.changes.append(self.runtime.ready),
        )

    async def send(self, model: str, times: int = 1) -> None:
        for _ in range(times):
            try:
                await self.runtime.infer(model, a_frame(), 0.1)
            except InferenceError:
                continue


@pytest.fixture
async def guarded() -> AsyncIterator[Guarded]:
    made = Guarded()
    task = asyncio.create_task(made.runtime.run())
    yield made
    task.cancel()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("error", [LATE, AWAY], ids=["late", "away"])
async def test_no_answers_hold_the_runtime_until_a_real_frame_is_answered(guarded: Guarded, error: InferenceError):
    guarded.connection.errors = {"people": error, "cars": error}
    await guarded.send("people", FAILURES)
    assert (guarded.runtime.ready, guarded.runtime.state) == (False, RuntimeState.UNAVAILABLE)
    assert str(error) in guarded.runtime.reason
    guarded.connection.asked.clear()
    await until(lambda: len(guarded.connection.asked) >= 2)
    assert not guarded.runtime.ready
    assert set(guarded.connection.asked) == {(guarded.connection.asked[0][0], CONTRACT.input_wh)}
    guarded.connection.errors = {}
    await until(lambda: guarded.runtime.ready and not guarded.runtime.held_models)
    assert (guarded.changes[0], guarded.changes[-1]) == (False, True)
    assert guarded.runtime.reason == ""


@pytest.mark.parametrize("error", [REFUSED, BROKEN], ids=["refused", "broken"])
async def test_a_model_that_is_answered_badly_is_held_alone(guarded: Guarded, error: InferenceError):
    guarded.connection.errors = {"people": error}
    await guarded.send("people", FAILURES)
    assert guarded.runtime.ready
    assert guarded.runtime.held_models == {"people": str(error)}
    assert set(guarded.runtime.models) == {"cars"}
    guarded.connection.asked.clear()
    await until(lambda: guarded.connection.asked)
    assert guarded.connection.asked[0] == ("people", CONTRACT.input_wh)
    guarded.connection.errors = {}
    await until(lambda: not guarded.runtime.held_models)
    assert set(guarded.runtime.models) == {"cars", "people"}


async def test_one_models_time_outs_among_anothers_answers_hold_that_model_alone(guarded: Guarded):
    guarded.connection.errors = {"people": LATE}
    for _ in range(FAILURES):
        await guarded.send("people")
        await guarded.send("cars")
    assert guarded.runtime.ready
    assert set(guarded.runtime.held_models) == {"people"}


async def test_a_lost_connection_is_tried_as_soon_as_it_is_back(guarded: Guarded):
    guarded.connection.state, guarded.connection.reason = RuntimeState.UNAVAILABLE, "connection refused"
    guarded.runtime.connection_changed()
    await asyncio.sleep(0.3)
    assert guarded.connection.asked == []
    assert guarded.runtime.reason == "connection refused"
    guarded.connection.state, guarded.connection.reason = RuntimeState.READY, ""
    guarded.runtime.connection_changed()
    assert not guarded.runtime.ready
    await until(lambda: guarded.runtime.ready)
    assert len(guarded.connection.asked) == 1


async def test_a_runtime_without_models_is_ready_as_soon_as_it_is_connected(guarded: Guarded):
    guarded.connection.contracts = {}
    guarded.connection.state = RuntimeState.UNAVAILABLE
    guarded.runtime.connection_changed()
    guarded.connection.state = RuntimeState.READY
    guarded.runtime.connection_changed()
    await until(lambda: guarded.runtime.ready)
    assert guarded.connection.asked == []


async def test_a_model_that_was_unloaded_is_held_no_longer(guarded: Guarded):
    guarded.connection.errors = {"people": REFUSED}
    await guarded.send("people", FAILURES)
    del guarded.connection.contracts["people"]
    guarded.runtime.connection_changed()
    assert guarded.runtime.held_models == {}
    guarded.connection.contracts["people"] = CONTRACT
    assert "people" in guarded.runtime.models


async def test_calls_for_a_model_that_takes_no_frames_say_nothing_about_it(guarded: Guarded):
    guarded.connection.contracts["cars"] = msgspec.structs.replace(CONTRACT, name="cars", task=Task.CLASSIFY)
    guarded.connection.errors = {"cars": BROKEN, "unknown": BROKEN}
    await guarded.send("cars", FAILURES)
    await guarded.send("unknown", FAILURES)
    assert guarded.runtime.held_models == {}
