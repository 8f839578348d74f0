"""The HTTP transport against servers that answer as badly as HTTP lets them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
import pytest

from gateway.errors import InferenceError, InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from gateway.inference import http_transport
from gateway.inference.http_control import HttpControl
from gateway.inference.http_transport import HttpRequest, HttpTransport
from gateway.inference.transport import Call, Region

BODY = b'{"outputs":[{"name":"rows","parameters":{"binary_data_size":3}}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nInference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n%babc" % (
    len(BODY),
    len(BODY) + 3,
    BODY,
)
WRITTEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Turn = Callable[[asyncio.StreamWriter], Awaitable[None]]


def says(*pieces: bytes) -> Turn:
    """Answer a request with these pieces, one after the other."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    return answer


def says_and_closes(*pieces: bytes) -> Turn:
    """Answer a request, if at all, and close."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        await says(*pieces)(writer)
        writer.close()

    return answer


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    """Leave a request without an answer."""


class Server:
    """Reads requests and answers each by the next turn, over however many connections they come."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self.turns = list(turns)
        self.connections = 0
        self.requests: list[bytes] = []
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.serving.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.turns.pop(0)(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def served(*turns: Turn) -> AsyncIterator[tuple[Server, HttpTransport]]:
    server = Server(turns)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        transport = HttpTransport(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        yield server, transport
        await transport.close()
        await asyncio.gather(*(task for task in server.serving if task))


def asked(transport: HttpTransport) -> HttpRequest:
    """A request whose answer is to be sent back."""
    return transport.prepare(Call("a model", (1, 3, 2), np.arange(6, dtype=np.uint8).reshape(3, 2), {"rows": None}))


def referred(transport: HttpTransport) -> HttpRequest:
    """A request whose answer is to be written into shared memory."""
    return transport.prepare(Call("people", (1, 3, 2), Region("r", 64, 6), {"rows": Region("r", 128, 3)}))


async def test_a_request_is_what_triton_documents():
    async with served(says(ANSWER), says(WRITTEN)) as (server, transport):
        assert bytes((await asked(transport).send(1.5))["rows"]) == b"abc"
        assert await referred(transport).send(0.25) == {}
    head, body = server.requests[0].split(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/models/a%20model/infer HTTP/1.1\r\nHost: 127.0.0.1:")
    assert body.startswith(b'{"parameters":{"timeout":1500000   },"inputs":')
    assert body.endswith(b"\0\1\2\3\4\5")
    assert b"Inference-Header-Content-Length: %d\r\n" % (len(body) - 6) in head
    assert b'{"timeout":250000    }' in server.requests[1]
    assert (
        b'"shared_memory_region": "r", "shared_memory_offset": 128, "shared_memory_byte_size": 3' in server.requests[1]
    )
    assert server.connections == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nInference-Header-Content-Length: %d\r\n\r\n" % len(BODY)
ODD_BUT_GOOD = {
    "in single bytes": (*(bytes([byte]) for byte in ANSWER[:40]), ANSWER[40:]),
    "in chunks": (CHUNKED, b"%x\r\n%b\r\n" % (len(BODY), BODY), b"3\r\nabc\r\n", b"0\r\n\r\n"),
    "after a word to go on": (b"HTTP/1.1 100 Continue\r\n\r\n", ANSWER),
    "after a word to go on, at once": (b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER,),
}


@pytest.mark.parametrize("how", ODD_BUT_GOOD)
async def test_an_answer_is_read_however_it_comes(how: str):
    async with served(says(*ODD_BUT_GOOD[how]), says(ANSWER)) as (server, transport):
        for _ in range(2):
            assert bytes((await asked(transport).send(5.0))["rows"]) == b"abc"
    assert server.connections == 1


def refused(status: bytes, body: bytes) -> Turn:
    return says(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


BAD: dict[str, tuple[Turn, type[InferenceError], str]] = {
    "no HTTP": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), RuntimeUnavailableError, "doesn't speak HTTP"),
    "half an answer": (says_and_closes(ANSWER[:-2]), RuntimeUnavailableError, "in the middle of an answer"),
    "nothing at all": (says_and_closes(), RuntimeUnavailableError, "before it was answered"),
    "an HTML page": (refused(b"502 Bad Gateway", b"<html>"), InferenceRejectedError, "HTTP status 502"),
    "a queue that is full": (
        refused(b"503 Service Unavailable", b'{"error":"Exceeds maximum queue size"}'),
        InferenceRejectedError,
        "queue size",
    ),
    "a deadline that passed in the queue": (
        refused(b"503 Service Unavailable", b'{"error":"Request timeout expired"}'),
        InferenceTimeoutError,
        "queue",
    ),
    "a server that stops": (
        refused(b"503 Service Unavailable", b'{"error":"server is shutting down"}'),
        RuntimeUnavailableError,
        "shutting down",
    ),
    "other outputs": (says(ANSWER.replace(b'"rows"', b'"rugs"')), InferenceRejectedError, "lacks rows"),
    "less than it announces": (says(ANSWER.replace(b'size":3', b'size":9')), InferenceRejectedError, "lacks"),
    "no JSON": (refused(b"200 OK", b"[]"), InferenceRejectedError, "can't be read"),
    "a size that is none": (
        refused(b"200 OK", b'{"outputs":[{"name":"rows","parameters":{"binary_data_size":"three"}}]}'),
        InferenceRejectedError,
        "can't be read: ValueError",
    ),
    "a name that is no text": (
        refused(b"200 OK", b'{"outputs":[{"name":"\xff"}]}'),
        InferenceRejectedError,
        "can't be read: UnicodeDecodeError",
    ),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_answer_is_an_error_of_its_kind_and_the_next_one_is_taken(what: str):
    turn, error, words = BAD[what]
    async with served(turn, says(ANSWER)) as (_, transport):
        with pytest.raises(error, match=words):
            await asked(transport).send(5.0)
        assert bytes((await asked(transport).send(5.0))["rows"]) == b"abc"


async def test_a_bad_answer_to_what_is_asked_beside_frames_is_an_error_and_not_waited_for():
    async with served(refused(b"200 OK", b'[{"name":"\xff"}]'), says(ANSWER)) as (server, transport):
        with pytest.raises(InferenceRejectedError, match="can't be read"):
            await HttpControl(transport).index()
        await asked(transport).send(5.0)
    assert server.connections == 1


async def test_an_answer_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_transport, "MAX_ANSWER_BYTES", 1000)
    async with served(says(CHUNKED, *[b"64\r\n%b\r\n" % bytes(100)] * 20)) as (_, transport):
        with pytest.raises(InferenceRejectedError, match="larger than"):
            await asked(transport).send(5.0)


async def test_a_connection_that_was_closed_while_idle_costs_no_request():
    async with served(says(ANSWER), says_and_closes(), says(ANSWER)) as (server, transport):
        for _ in range(2):
            assert bytes((await asked(transport).send(5.0))["rows"]) == b"abc"
    assert server.connections == 2
    assert len(server.requests) == 3


async def test_a_request_that_was_answered_in_part_is_not_sent_again():
    async with served(says(ANSWER), says_and_closes(ANSWER[:9]), says(ANSWER)) as (server, transport):
        await asked(transport).send(5.0)
        with pytest.raises(RuntimeUnavailableError, match="in the middle"):
            await asked(transport).send(5.0)
    assert len(server.requests) == 2


async def test_a_server_that_closes_every_connection_is_away():
    async with served(says(ANSWER), says_and_closes(), says_and_closes()) as (server, transport):
        await asked(transport).send(5.0)
        with pytest.raises(RuntimeUnavailableError):
            await asked(transport).send(5.0)
    assert server.connections == 2


async def test_a_server_that_wants_no_connection_kept_gets_a_new_one():
    closing = ANSWER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    async with served(says(closing), says(ANSWER)) as (server, transport):
        for _ in range(2):
            assert bytes((await asked(transport).send(5.0))["rows"]) == b"abc"
    assert server.connections == 2


async def test_a_late_answer_ends_its_call_and_is_nobodys():
    released = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await says(WRITTEN)(writer)

    async with served(late, says(WRITTEN), says(WRITTEN)) as (server, transport):
        request = referred(transport)
        with pytest.raises(InferenceTimeoutError):
            await request.send(0.02)
        assert not request.ended
        await referred(transport).send(5.0)
        released.set()
        async with asyncio.timeout(5):
            while not request.ended:  # noqa: ASYNC110 - asked, as slots ask
                await asyncio.sleep(0.005)
        await request.send(5.0)
    assert server.connections == 2


async def test_a_call_whose_connection_broke_is_not_taken_to_have_ended():
    async with served(says_nothing) as (_, transport):
        request = referred(transport)
        with pytest.raises(InferenceTimeoutError):
            await request.send(0.02)
        await transport.close()
        await asyncio.sleep(0.02)
        assert not request.ended
