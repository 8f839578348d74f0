"""What every transport does, with a real Triton: answers, refusals, time-outs, cancelling, lost servers."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from gateway.inference.grpc_control import GrpcControl
from gateway.inference.grpc_transport import GrpcTransport
from gateway.inference.http_transport import HttpTransport
from gateway.inference.shared_memory import SharedRegion
from gateway.inference.transport import Call, InferenceTransport, Region
from tests.support.contract_models import HEIGHT, ROWS, WIDTH, publish_failing, publish_telling
from tests.support.triton_server import RunningTriton, eventually, free_ports, freeze, running_triton

FRAME = WIDTH * ROWS
SLOT = FRAME + 64
TRANSPORTS = {"grpc": GrpcTransport, "http": HttpTransport}
PATIENT_S = 1.0
PATIENT = f"""
dynamic_batching {{
  preferred_batch_size: 4
  max_queue_delay_microseconds: {int(PATIENT_S * 1e6)}
  default_queue_policy {{ timeout_action: REJECT allow_timeout_override: true }}
}}
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    repository = tmp_path_factory.mktemp("repository")
    publish_telling(repository, "telling")
    publish_telling(repository, "patient", PATIENT)
    publish_failing(repository, "failing")
    with running_triton(repository) as running:
        yield running


@pytest.fixture(params=TRANSPORTS)
async def transport(request: pytest.FixtureRequest, triton: RunningTriton) -> AsyncIterator[InferenceTransport]:
    triton.wait_ready()
    made = TRANSPORTS[request.param](triton.http_url if request.param == "http" else triton.grpc_url)
    yield made
    await made.close()


@pytest.fixture
async def region(triton: RunningTriton) -> AsyncIterator[SharedRegion]:
    made, control = SharedRegion(SLOT * 8), GrpcControl(triton.grpc_url)
    await control.register(made.name, SLOT * 8)
    yield made
    while True:  # refused while a call that was given up is still in the server's hands
        with contextlib.suppress(InferenceRejectedError):
            await control.unregister(made.name)
            break
        await asyncio.sleep(0.05)
    await control.close()
    made.close()


def in_memory(region: SharedRegion, slot: int = 0, model: str = "telling") -> Call:
    start = slot * SLOT
    outputs = {
        "detections": Region(region.name, start + FRAME, 24),
        "num_detections": Region(region.name, start + FRAME + 24, 4),
    }
    return Call(model, (1, ROWS, WIDTH), Region(region.name, start, FRAME), outputs)


def inline(frames: np.ndarray, model: str = "telling") -> Call:
    return Call(model, (1, *frames.shape), frames, {"detections": None, "num_detections": None})


def picture(least: int, most: int) -> np.ndarray:
    frames = np.full((ROWS, WIDTH), least, np.uint8)
    frames[HEIGHT // 2, WIDTH // 2] = most
    return frames


async def test_an_answer_is_written_into_shared_memory(transport: InferenceTransport, region: SharedRegion):
    request = transport.prepare(in_memory(region, slot=3))
    for least, most in ((3, 250), (7, 8)):
        region.memory[3 * SLOT :][:FRAME] = picture(least, most).reshape(-1)
        assert await request.send(10.0) == {}
        assert request.ended
        answer = region.memory[3 * SLOT + FRAME :]
        assert answer[:24].view(np.float32).tolist() == [least, most] * 3
        assert answer[24:28].view(np.int32).tolist() == [1]


async def test_frames_and_answers_travel_inline(transport: InferenceTransport):
    frames = picture(3, 250)
    request = transport.prepare(inline(frames))
    for least, most in ((3, 250), (7, 8)):
        frames[:] = picture(least, most)
        answer = await request.send(10.0)
        assert np.frombuffer(answer["detections"], np.float32).tolist() == [least, most] * 3
        assert np.frombuffer(answer["num_detections"], np.int32).tolist() == [1]


async def test_many_requests_at_once_each_get_their_own_answer(transport: InferenceTransport, region: SharedRegion):
    requests = [transport.prepare(in_memory(region, slot)) for slot in range(8)]
    for least in range(20):
        for slot in range(8):
            region.memory[slot * SLOT :][:FRAME] = picture(least, 100 + slot).reshape(-1)
        await asyncio.gather(*(request.send(10.0) for request in requests))
        for slot in range(8):
            assert region.memory[slot * SLOT + FRAME :][:24].view(np.float32).tolist() == [least, 100 + slot] * 3


REFUSED = {
    "an unknown model": (lambda _: inline(picture(1, 2), "ghost"), "ghost"),
    "another shape": (lambda _: inline(np.zeros((6, 4), np.uint8)), "shape"),
    "an unknown region": (
        lambda _: Call("telling", (1, ROWS, WIDTH), Region("ghost", 0, FRAME), {"detections": None}),
        "ghost",
    ),
    "an offset beyond the region": (
        lambda region: Call("telling", (1, ROWS, WIDTH), Region(region.name, SLOT * 8, FRAME), {"detections": None}),
        "offset|size",
    ),
    "too little room for the answer": (
        lambda region: Call("telling", (1, ROWS, WIDTH), picture(1, 2), {"detections": Region(region.name, 0, 8)}),
        "size",
    ),
    "an unknown output": (lambda _: Call("telling", (1, ROWS, WIDTH), picture(1, 2), {"ghosts": None}), "ghosts"),
    "a model that fails": (lambda _: inline(picture(1, 2), "failing"), "indices|index|Gather"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_the_server_refuses_is_an_error_in_its_words(
    what: str, transport: InferenceTransport, region: SharedRegion
):
    call, words = REFUSED[what]
    request = transport.prepare(call(region))
    for _ in range(2):
        with pytest.raises(InferenceRejectedError, match=words):
            await request.send(10.0)
        assert request.ended
    await transport.prepare(inline(picture(1, 2))).send(10.0)


async def test_a_deadline_ends_the_wait_and_the_server_gives_the_request_up_in_its_queue(
    transport: InferenceTransport, region: SharedRegion
):
    request = transport.prepare(in_memory(region, model="patient"))
    with pytest.raises(InferenceTimeoutError):
        await request.send(0.1)
    assert not request.ended
    await transport.prepare(inline(picture(1, 2))).send(10.0)


async def test_a_cancelled_call_is_given_up_and_those_that_follow_are_answered(
    transport: InferenceTransport, region: SharedRegion
):
    request = transport.prepare(in_memory(region, model="patient"))
    task = asyncio.create_task(request.send(10.0))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not request.ended
    await transport.prepare(inline(picture(1, 2))).send(10.0)


async def test_a_server_that_stops_is_a_time_out_and_one_that_goes_on_answers(
    transport: InferenceTransport, triton: RunningTriton
):
    request = transport.prepare(inline(picture(1, 2)))
    await request.send(10.0)
    freeze(triton.server_pid())
    try:
        with pytest.raises(InferenceTimeoutError):
            await request.send(0.1)
    finally:
        os.kill(triton.server_pid(), signal.SIGCONT)
    await transport.prepare(inline(picture(1, 2))).send(10.0)


async def test_a_server_killed_in_mid_call_is_away_and_one_that_is_back_answers(
    transport: InferenceTransport, triton: RunningTriton
):
    await transport.prepare(inline(picture(1, 2))).send(10.0)
    call = asyncio.create_task(transport.prepare(inline(picture(1, 2), "patient")).send(10.0))
    await asyncio.sleep(0.1)
    os.kill(triton.server_pid(), signal.SIGKILL)
    with pytest.raises(RuntimeUnavailableError):
        await call
    await asyncio.to_thread(eventually, lambda: not triton.api.ready(), 10)
    await asyncio.to_thread(triton.wait_ready)
    await transport.prepare(inline(picture(1, 2))).send(10.0)


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_nobody_at_the_address_is_a_runtime_that_is_away(kind: str):
    (port,) = free_ports(1)
    transport = TRANSPORTS[kind](f"http://127.0.0.1:{port}" if kind == "http" else f"127.0.0.1:{port}")
    try:
        with pytest.raises(RuntimeUnavailableError, match=r"can't (be reached|take requests)"):
            await transport.prepare(inline(picture(1, 2))).send(5.0)
    finally:
        await transport.close()


async def test_a_request_on_a_closed_transport_is_refused(transport: InferenceTransport):
    request = transport.prepare(inline(picture(1, 2)))
    await request.send(10.0)
    await transport.close()
    with pytest.raises(RuntimeUnavailableError, match="closed"):
        await request.send(10.0)


async def test_closing_fails_what_is_on_its_way(transport: InferenceTransport):
    call = asyncio.create_task(transport.prepare(inline(picture(1, 2), "patient")).send(10.0))
    await asyncio.sleep(0.1)
    await transport.close()
    with pytest.raises(RuntimeUnavailableError):
        await call


def test_the_folder_of_shared_memory_is_left_as_it_was():
    assert not list(Path("/dev/shm").glob(f"ruth_ai_gateway_{os.getpid()}_*"))
