"""Events from a real server over real connections: server-sent, and over a WebSocket."""

import asyncio
import contextlib
import datetime as dt
import gc
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.api.websocket import CLOSE_CODES, LARGEST_MESSAGE_BYTES
from gateway.domain.event import Event, EventFilter
from gateway.events.stream import Signal, stream
from tests.support.api_app import Api, a_violation, running_api
from tests.support.events import a_grant

Items: TypeAlias = AsyncIterator[Event | str]
"""Events, and in the end why they end."""

Listen: TypeAlias = Callable[..., AbstractAsyncContextManager[Items]]

SMALL_BUFFER = (socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
"""What a listener doesn't read, the server soon can't send; Linux's own buffers grow to as much as 32 MB."""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def address(api: Api) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            api.app,
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=1,
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE_BYTES,
            ws_ping_interval=0.1,
        )
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server._serve([listener]))
            yield f"127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


@pytest.fixture(params=["sse", "websocket"])
def listen(request: pytest.FixtureRequest, address: str) -> Listen:
    """Open a stream of events, with what stands in its query."""

    @contextlib.asynccontextmanager
    async def server_sent(**query: object) -> AsyncIterator[Items]:
        transport = httpx.AsyncHTTPTransport(socket_options=[SMALL_BUFFER])
        async with (
            httpx.AsyncClient(base_url=f"http://{address}", transport=transport) as http,
            http.stream("GET", "/api/v1/events", params=urlencode(query, doseq=True)) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            blocks = _blocks(answer.aiter_lines())
            assert await anext(blocks) == {"retry": "2000"}
            yield _server_sent(blocks)

    @contextlib.asynccontextmanager
    async def over_websocket(**query: object) -> AsyncIterator[Items]:
        path = f"/api/v1/ws?{urlencode(query, doseq=True)}"
        async with connect(f"ws://{address}{path}", max_queue=1, sock=_connected(address)) as connection:
            yield _websocket(connection)

    return server_sent if request.param == "sse" else over_websocket


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.socket()
    connection.setsockopt(*SMALL_BUFFER)
    connection.connect((host, int(port)))
    connection.setblocking(False)
    return connection


async def _blocks(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    block: dict[str, str] = {}
    async for line in lines:
        if not line:
            yield block
            block = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            block[name] = value


async def _server_sent(blocks: AsyncIterator[dict[str, str]]) -> Items:
    async for block in blocks:
        if block.get("event") == "end":
            yield msgspec.json.decode(block["data"])["reason"]
        elif block:
            event = msgspec.json.decode(block["data"], type=Event)
            assert (block["id"], block["event"]) == (str(event.number), event.type)
            yield event


async def _websocket(connection: ClientConnection) -> Items:
    with contextlib.suppress(ConnectionClosed):
        while True:
            yield msgspec.json.decode(await connection.recv(), type=Event)
    assert connection.close_reason is not None
    assert connection.close_code == CLOSE_CODES[Signal(connection.close_reason)]
    yield connection.close_reason


async def _next(items: Items) -> Event:
    async with asyncio.timeout(10):
        item = await anext(items)
    assert isinstance(item, Event), item
    return item


async def _until_listening(api: Api, listeners: int) -> None:
    async with asyncio.timeout(10):
        while api.bus.statistics().listeners != listeners:
            gc.collect()  # the bus holds its listeners weakly, and a cancelled stream's traceback is a cycle
            await asyncio.sleep(0.01)


async def test_a_listener_hears_what_happens_from_the_moment_it_is_let_in(api: Api, listen: Listen) -> None:
    await api.record(a_violation())
    violation = a_violation()
    async with listen() as items:
        await api.record(violation)
        event = await _next(items)
    assert (event.number, event.type, event.said()["id"]) == (2, "violation.opened", violation.id)


async def test_a_listener_that_comes_back_gets_what_it_missed_and_then_goes_on_live(api: Api, listen: Listen) -> None:
    for _ in range(3):
        await api.record(a_violation())
    async with listen(last_event_id=1) as items:
        missed = [(await _next(items)).number for _ in range(2)]
        await api.record(a_violation())
        assert missed == [2, 3]
        assert (await _next(items)).number == 4


async def test_a_listener_that_comes_back_too_late_is_told_what_is_missing(api: Api, listen: Listen) -> None:
    for _ in range(5):
        await api.record(a_violation())
    assert await api.store.trim_events(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), 3) == 3
    async with listen(last_event_id=1, camera_id="another") as items:  # whatever it chose
        missed = await _next(items)
    assert (missed.number, missed.type, missed.said()) == (3, "events.missed", {"after": 1, "through": 3})
    async with listen(last_event_id=missed.number) as items:
        assert [(await _next(items)).number for _ in range(2)] == [4, 5]


async def test_a_number_that_is_yet_to_be_given_is_no_reason_to_wait_for_it(api: Api, listen: Listen) -> None:
    await api.record(a_violation())
    async with listen(last_event_id=5000) as items:  # the database was restored meanwhile
        await api.record(a_violation())
        assert (await _next(items)).number == 2


async def test_a_listener_gets_what_it_chose_replayed_and_live(api: Api, listen: Listen) -> None:
    async def happen() -> None:
        for camera in ("gate", "yard", "door"):
            await api.record(a_violation(camera_id=camera))
            api.bus.publish(await api.store.record_grants([a_grant(camera)]))

    await happen()
    chosen = {"camera_id": ["gate", "door"], "type": "violation.opened"}
    async with listen(last_event_id=0, **chosen) as items:
        replayed = [await _next(items) for _ in range(2)]
        await happen()
        live = [await _next(items) for _ in range(2)]
    heard = [(event.number, event.camera_id, event.type) for event in replayed + live]
    assert heard == [(n, c, "violation.opened") for n, c in ((1, "gate"), (5, "door"), (7, "gate"), (11, "door"))]


async def test_a_listener_that_hangs_up_is_let_go_of(api: Api, listen: Listen) -> None:
    async with listen(), listen():
        await _until_listening(api, 2)
    await _until_listening(api, 0)


async def test_the_stream_ends_with_its_reason_when_the_gateway_stops(api: Api, listen: Listen) -> None:
    async with listen() as items:
        await _until_listening(api, 1)
        api.bus.close()
        assert [item async for item in items] == ["shutting_down"]


async def test_a_database_that_is_away_ends_the_stream_so_that_the_listener_comes_back(
    api: Api, listen: Listen, tmp_path: Path
) -> None:
    await api.store.close()
    shutil.rmtree(tmp_path)
    async with listen() as items:
        assert [item async for item in items] == ["database_away"]


async def test_a_slow_listener_is_cut_off_with_the_reason_and_may_come_back(
    api: Api, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stream.__kwdefaults__ is not None
    monkeypatch.setitem(stream.__kwdefaults__, "slow_s", 0.2)
    for _ in range(40):
        await api.record(a_violation(rule_name=os.urandom(200_000).hex()))  # more than all buffers hold
    async with listen(last_event_id=0) as items:
        first = await _next(items)
        await asyncio.sleep(4)  # a busy machine may take seconds to read the outbox before anything is sent
        async with asyncio.timeout(60):
            rest = [item async for item in items]
    numbers = [first.number, *(item.number for item in rest if isinstance(item, Event))]
    assert rest[-1] == "slow_consumer"
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < 40
    monkeypatch.setitem(stream.__kwdefaults__, "slow_s", 60.0)
    async with listen(last_event_id=numbers[-1]) as items:
        assert (await _next(items)).number == numbers[-1] + 1


async def test_silence_is_filled(api: Api) -> None:
    items = stream(api.store, api.bus, None, EventFilter(), keep_alive_s=0.001)
    assert [await anext(items) for _ in range(3)] == [Signal.OPENED, Signal.KEEP_ALIVE, Signal.KEEP_ALIVE]
    await items.aclose()


async def test_a_websocket_stays_open_through_silence_and_chatter(api: Api, address: str) -> None:
    async with connect(f"ws://{address}/api/v1/ws") as connection:
        await connection.send("hello")
        await asyncio.sleep(0.3)
        await connection.send(b"anybody there?")
        await api.record(a_violation())
        assert msgspec.json.decode(await connection.recv(), type=Event).number == 1


BEYOND = 2**63


@pytest.mark.parametrize("number", [BEYOND, 10**30])
async def test_an_event_beyond_what_can_be_counted_is_refused(api: Api, number: int) -> None:
    answer = await api.http.get("/api/v1/events", params={"last_event_id": number})
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    answer = await api.http.get("/api/v1/events", headers={"Last-Event-ID": str(number)})
    assert (answer.status_code, answer.json()["status"]) == (422, 422)


@pytest.mark.parametrize(
    "query",
    ["last_event_id=-1", "last_event_id=x", f"last_event_id={BEYOND}", "type=violation.guessed", "camera=1"],
)
async def test_a_query_that_cannot_be_used_is_told(address: str, query: str) -> None:
    async with connect(f"ws://{address}/api/v1/ws?{query}") as connection:
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4422
    assert closed.value.rcvd.reason


async def test_another_sites_page_cannot_listen(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{address}/api/v1/ws", origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403
    async with connect(f"ws://{address}/api/v1/ws", origin=f"http://{address}"):  # type: ignore[arg-type]
        pass


async def test_a_page_under_a_name_that_was_led_here_cannot_listen(address: str) -> None:
    name = f"evil.test:{address.rpartition(':')[2]}"
    origin = f"http://{name}"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{name}/api/v1/ws", sock=_connected(address), origin=origin):  # type: ignore[arg-type]
            pass
    assert refused.value.response.status_code == 403
