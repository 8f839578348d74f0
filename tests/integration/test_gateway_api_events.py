"""Server-sent events from a real server over a real connection."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import uvicorn

from gateway.api.events import server_sent
from gateway.domain.event import Event
from gateway.errors import DatabaseError
from tests.support.api_app import Api, a_violation, running_api

PATH = "/api/v1/events"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def http(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(api.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server._serve([listener]))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
                yield client
            server.should_exit = True


@contextlib.asynccontextmanager
async def _stream(http: httpx.AsyncClient, last_event_id: int | None = None) -> AsyncIterator[AsyncIterator[list[str]]]:
    """The blocks of an open event stream, each a list of lines; the first one, the opening, is consumed."""
    headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
    async with http.stream("GET", PATH, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = _blocks(answer.aiter_lines())
        assert await anext(blocks) == ["retry: 2000"]
        yield blocks


async def _blocks(lines: AsyncIterator[str]) -> AsyncIterator[list[str]]:
    block: list[str] = []
    async for line in lines:
        if line:
            block.append(line)
        else:
            yield block
            block = []


async def _until_listening(api: Api, listeners: int) -> None:
    async with asyncio.timeout(5):
        while api.bus.statistics().listeners != listeners:
            gc.collect()  # the bus holds its listeners weakly, and a cancelled stream's traceback is a cycle
            await asyncio.sleep(0.01)


async def test_a_listener_hears_what_happens_from_now_on(api: Api, http: httpx.AsyncClient) -> None:
    await api.record(a_violation())
    violation = a_violation()
    async with _stream(http) as blocks:
        await _until_listening(api, 1)
        await api.record(violation)
        number, kind, data = await anext(blocks)
    assert (number, kind) == ("id: 2", "event: violation.opened")
    event = msgspec.json.decode(data.removeprefix("data: "), type=Event)
    assert (event.number, event.payload["id"]) == (2, violation.id)


async def test_a_listener_that_comes_back_gets_what_it_missed_and_then_goes_on_live(
    api: Api, http: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await api.record(a_violation())
    async with _stream(http, last_event_id=1) as blocks:
        missed = [(await anext(blocks))[0] for _ in range(2)]
        await api.record(a_violation())
        live = (await anext(blocks))[0]
    assert (missed, live) == (["id: 2", "id: 3"], "id: 4")


async def test_a_listener_that_hangs_up_is_let_go_of(api: Api, http: httpx.AsyncClient) -> None:
    async with _stream(http) as _first, _stream(http) as _second:
        await _until_listening(api, 2)
    await _until_listening(api, 0)


async def test_the_stream_ends_when_the_bus_closes(api: Api, http: httpx.AsyncClient) -> None:
    async with _stream(http) as blocks:
        await _until_listening(api, 1)
        api.bus.close()
        assert [block async for block in blocks] == []


async def test_silence_is_filled_with_comments() -> None:
    async def silence() -> AsyncIterator[Event]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    stream = server_sent(silence(), keep_alive_s=0.001)
    assert [await anext(stream) for _ in range(3)] == [b"retry: 2000\n\n", b": keep-alive\n\n", b": keep-alive\n\n"]
    await stream.aclose()


async def test_a_database_that_goes_away_ends_the_stream_so_that_the_listener_comes_back() -> None:
    async def broken() -> AsyncIterator[Event]:
        raise DatabaseError("away")
        yield

    assert [chunk async for chunk in server_sent(broken(), keep_alive_s=5)] == [b"retry: 2000\n\n"]
