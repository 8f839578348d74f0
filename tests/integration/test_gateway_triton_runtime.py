"""A connection to a real Triton: which way frames go, and what becomes of slots that get no answer."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.runtime import RuntimeState, Transport
from gateway.errors import InferenceTimeoutError, ModelContractError, RuntimeUnavailableError
from gateway.inference import Link, TritonRuntime, runtime
from gateway.inference.control import ServedModel
from gateway.inference.grpc_transport import GrpcTransport
from gateway.inference.http_control import HttpControl
from gateway.inference.http_transport import HttpTransport
from tests.support.contract_models import publish_blind
from tests.support.pictures import a_frame
from tests.support.triton_server import RunningTriton, free_ports, freeze, running_triton

SLOTS = 2


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    repository = tmp_path_factory.mktemp("repository")
    publish_blind(repository, "blind")
    with running_triton(repository) as running:
        yield running


@contextlib.asynccontextmanager
async def connected(triton: RunningTriton, http_url: str | None, why_inline: str = "") -> AsyncIterator[TritonRuntime]:
    with ThreadPoolExecutor(1) as workers:
        made = TritonRuntime(
            "triton",
            Link(triton.grpc_url, http_url),
            shared_memory_reason=why_inline,
            slots=SLOTS,
            clock=SystemClock(),
            workers=workers,
            on_change=lambda: None,
        )
        try:
            await made.connect()
            yield made
        finally:
            await made.close()


WAYS = {
    "HTTP and shared memory": (True, "", HttpTransport, Transport.SYSTEM_SHARED_MEMORY),
    "HTTP alone": (True, "another host", HttpTransport, Transport.INLINE),
    "gRPC and shared memory": (False, "", GrpcTransport, Transport.SYSTEM_SHARED_MEMORY),
    "gRPC alone": (False, "another host", GrpcTransport, Transport.INLINE),
}


@pytest.mark.parametrize("way", WAYS)
async def test_frames_go_by(way: str, triton: RunningTriton):
    http, why_inline, kind, transport = WAYS[way]
    async with connected(triton, triton.http_url if http else None, why_inline) as made:
        assert made.transport is transport
        assert made._slots is not None
        assert isinstance(made._slots.transport, kind)
        for _ in range(SLOTS + 1):
            assert len((await made.infer("blind", a_frame(), 10.0)).detections) == 0


async def test_an_http_address_that_cannot_be_reached_leaves_grpc(
    triton: RunningTriton, caplog: pytest.LogCaptureFixture
):
    (nobody,) = free_ports(1)
    async with connected(triton, f"http://127.0.0.1:{nobody}") as made:
        assert made.state is RuntimeState.READY
        await made.infer("blind", a_frame(), 10.0)
    assert "frames go over gRPC" in caplog.text


async def test_large_canvases_are_scaled_elsewhere(triton: RunningTriton, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtime, "SCALED_IN_LOOP_BYTES", 0)
    async with connected(triton, triton.http_url) as made:
        await made.infer("blind", a_frame(), 10.0)
        with pytest.raises(InferenceTimeoutError, match="before it was sent"):
            await made.infer("blind", a_frame(), 0.0)


async def test_a_server_that_answers_no_slot_is_away_until_it_answers(triton: RunningTriton):
    async with connected(triton, triton.http_url) as made:
        await made.infer("blind", a_frame(), 10.0)
        freeze(triton.server_pid())
        try:
            for _ in range(SLOTS):
                with pytest.raises(InferenceTimeoutError):
                    await made.infer("blind", a_frame(), 0.05)
            with pytest.raises(RuntimeUnavailableError, match=f"none of the last {SLOTS} frames"):
                await made.infer("blind", a_frame(), 0.05)
        finally:
            os.kill(triton.server_pid(), signal.SIGCONT)
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(RuntimeUnavailableError):
                    await made.infer("blind", a_frame(), 10.0)
                    break
                await asyncio.sleep(0.02)


async def test_the_server_forgets_a_former_region_once_its_calls_have_ended(triton: RunningTriton):
    async with connected(triton, triton.http_url) as made:
        before = made._slots
        assert before is not None
        assert before.region is not None
        slot = before.acquire()
        assert slot is not None
        made._lose("a test says so")
        await made.connect()
        assert made._slots is not None
        assert made._slots.region not in (None, before.region)
        assert await made._link.control.is_registered(before.region), "one of its slots is in use"
        before.release(slot)
        await made.connect()
        assert not await made._link.control.is_registered(before.region)
        assert await made._link.control.is_registered(str(made._slots.region))
        assert not made._former
        await made.infer("blind", a_frame(), 10.0)


class Hasty(HttpControl):
    """Control of a server from which a model goes between two questions."""

    async def index(self) -> Sequence[ServedModel]:
        return [*await super().index(), ServedModel("fleeting", "1", "READY")]


async def test_a_model_that_goes_while_it_is_looked_at_is_refused_alone(triton: RunningTriton):
    async with connected(triton, triton.http_url) as made:
        http = made._link._http
        assert http is not None
        made._link._http_control = Hasty(http)
        await made.connect()
        assert made.state is RuntimeState.READY
        assert "fleeting" in made.refused["fleeting"]
        assert made._unsure, "so it is looked at again"
        await made.infer("blind", a_frame(), 10.0)


async def test_a_model_that_is_not_loaded_is_not_asked(triton: RunningTriton):
    async with connected(triton, triton.http_url) as made:
        with pytest.raises(ModelContractError, match="ghosts isn't loaded"):
            await made.infer("ghosts", a_frame(), 10.0)
