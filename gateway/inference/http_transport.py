"""Requests to Triton over a pool of HTTP/1.1 connections: the KServe v2 protocol with shared-memory references.

A request costs a quarter of the CPU that it costs over gRPC (docs/adr/0100-frames-go-over-http.md).
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, urlsplit

import httptools
import msgspec

from gateway.domain.frame import UInt8Array
from gateway.errors import InferenceError, InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from gateway.inference.transport import (
    MAX_ANSWER_BYTES,
    UNKNOWN_END_S,
    Answer,
    Call,
    Region,
    refusal,
    timeout_microseconds,
)

OK, SERVICE_UNAVAILABLE = 200, 503
CONNECT_TIMEOUT_S = 5.0

_Value = TypeVar("_Value")


class HttpTransport:
    """Keep-alive connections to one server, as many as there are requests on their way at once.

    Args:
        http_url: `http://host:port`.
    """

    def __init__(self, http_url: str) -> None:
        address = urlsplit(http_url)
        self._host, self._port = address.hostname or "", address.port or 80
        self.authority = address.netloc
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._closed = False

    def prepare(self, call: Call) -> "HttpRequest":
        """Render a call."""
        return HttpRequest(self, call)

    async def check(self) -> None:
        """Find out whether the server can be reached: an idle connection would have been closed.

        Raises:
            RuntimeUnavailableError: It can't.
        """
        if self._idle:
            return
        connection = await self._connect(asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S)
        self.put_back(connection)

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for connection in list(self._open):
            connection.abort()

    async def exchange(
        self, request: "Exchange[_Value]", parts: Sequence[bytes | memoryview], timeout_s: float
    ) -> _Value:
        """Send a request and wait for its answer; once more if an idle connection turns out to have been closed."""
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while self._idle:
            connection = self._idle.pop()
            try:
                return await connection.exchange(request, parts, deadline_s)
            except _UnansweredError:
                continue  # the server closed it while it was idle: it has not begun with the request
        connection = await self._connect(deadline_s)
        try:
            return await connection.exchange(request, parts, deadline_s)
        except _UnansweredError as error:
            raise RuntimeUnavailableError("the inference server closed the connection without an answer") from error

    def put_back(self, connection: "_Connection") -> None:
        """Take a connection whose answer is complete."""
        if self._closed:
            connection.abort()
        else:
            self._idle.append(connection)

    def forget(self, connection: "_Connection") -> None:
        """Let go of a connection that is closed."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def _connect(self, deadline_s: float) -> "_Connection":
        if self._closed:
            raise RuntimeUnavailableError("the connection to the inference server was closed")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(deadline_s):
                _, connection = await loop.create_connection(lambda: _Connection(self), self._host, self._port)
        except TimeoutError as error:
            raise InferenceTimeoutError("no connection to the inference server before the frame's deadline") from error
        except OSError as error:
            raise RuntimeUnavailableError(f"the inference server can't be reached: {error}") from error
        self._open.add(connection)
        return connection


class Exchange(ABC, Generic[_Value]):
    """A request that may be on its way, and what is read from its answer."""

    def __init__(self) -> None:
        self.connection: _Connection | None = None
        self.unknown_until_s = 0.0

    @abstractmethod
    def read(self, status: int, body: bytes, json_bytes: int | None) -> _Value:
        """Make something of an answer, whose first bytes may be JSON and the rest not; raises `InferenceError`."""


class HttpRequest(Exchange[Answer]):
    """A call rendered as HTTP; only the deadline is filled in for each send."""

    def __init__(self, transport: HttpTransport, call: Call) -> None:
        super().__init__()
        self._transport = transport
        self._frames = None if isinstance(call.frames, Region) else call.frames.reshape(-1).data
        self._head, self._tail = _render(call, transport.authority)
        self._answered_by = tuple(name for name, region in call.outputs.items() if region is None)

    @property
    def ended(self) -> bool:
        """Whether the server has let go of the call's memory."""
        return self.connection is None and asyncio.get_running_loop().time() >= self.unknown_until_s

    async def send(self, timeout_s: float) -> Answer:
        """Ask, and wait for the answer."""
        start = b"%b%-10d%b" % (self._head, timeout_microseconds(timeout_s), self._tail)
        parts = (start,) if self._frames is None else (start, self._frames)
        return await self._transport.exchange(self, parts, timeout_s)

    def read(self, status: int, body: bytes, json_bytes: int | None) -> Answer:
        """The tensors of an answer."""
        return _read(status, body, json_bytes, self._answered_by)


class _UnansweredError(Exception):
    """A connection that had served before was closed before the server said anything."""


class _Connection(asyncio.Protocol):
    """One connection, and the request that is on its way over it.

    An answer that nobody waits for any more is still awaited: only then has the server let go of the request's memory.
    """

    def __init__(self, pool: HttpTransport) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._request: Exchange[Any] | None = None
        self._answer: asyncio.Future[Any] | None = None
        self._served = False
        self._begin()

    def _begin(self) -> None:
        self._begun = False
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._json_bytes: int | None = None

    async def exchange(
        self, request: Exchange[_Value], parts: Sequence[bytes | memoryview], deadline_s: float
    ) -> _Value:
        """Send a request and wait for its answer.

        Raises:
            _UnansweredError: The connection was closed, after it had served before, without a word on this request.
            InferenceError: As `Request.send`.
        """
        if self._transport is None or self._transport.is_closing():
            raise _UnansweredError
        answer: asyncio.Future[_Value] = self._loop.create_future()
        self._answer = answer
        self._request, request.connection = request, self
        self._begin()
        if len(parts) == 1:
            self._transport.write(parts[0])
        else:
            self._transport.writelines(parts)
        timer = self._loop.call_at(deadline_s, self._expire)
        try:
            return await answer
        finally:
            timer.cancel()

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance

    def data_received(self, data: bytes) -> None:
        """Take a piece of an answer."""
        if self._request is None:
            self.abort()  # a word that nobody asked for, as before an idle connection is closed
            return
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(RuntimeUnavailableError(f"what answers at {self._pool.authority} doesn't speak HTTP: {error}"))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Fail what was on its way."""
        self._pool.forget(self)
        if self._request is None:
            return
        if self._served and not self._begun:
            self._fail(_UnansweredError())
        else:
            what = "in the middle of an answer" if self._begun else "before it was answered"
            self._fail(RuntimeUnavailableError(f"the connection to the inference server broke {what}"))

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Remember where the JSON ends and the tensors begin."""
        if name.lower() == b"inference-header-content-length":
            self._json_bytes = int(value)

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_ANSWER_BYTES:
            self._fail(InferenceRejectedError(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB"))
            self.abort()
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Give the answer to who waits for it, if anybody does, and the connection back."""
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue and the like: the answer is still to come
            self._begin()
            return
        request, answer = self._request, self._answer
        if request is None or answer is None:
            return
        self._request = self._answer = request.connection = None
        self._served = True
        if not answer.done():
            try:
                answer.set_result(request.read(status, b"".join(self._body), self._json_bytes))
            except InferenceError as error:
                answer.set_exception(error)
            except Exception as error:  # noqa: BLE001 - whatever the answer holds: who waits for it would wait for ever
                answer.set_exception(_unreadable(error))
        if self._parser.should_keep_alive():
            self._pool.put_back(self)
        else:
            self.abort()

    # Inside

    def _expire(self) -> None:
        """Stop waiting, but for the end of the call."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(InferenceTimeoutError("no answer before the frame's deadline"))

    def _fail(self, error: Exception) -> None:
        request, answer = self._request, self._answer
        self._request = self._answer = None
        if request is not None:
            request.connection = None
            if self._begun or not self._served:
                request.unknown_until_s = self._loop.time() + UNKNOWN_END_S
        if answer is not None and not answer.done():
            answer.set_exception(error)


class _Tensor(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Header(msgspec.Struct):
    outputs: list[_Tensor] = []


_header_decoder = msgspec.json.Decoder(_Header)


def _render(call: Call, authority: str) -> tuple[bytes, bytes]:
    """The bytes before and after the ten characters of the deadline, for which blanks stand where digits end."""
    here: UInt8Array | None = None if isinstance(call.frames, Region) else call.frames
    where = _parameters(call.frames) if isinstance(call.frames, Region) else {"binary_data_size": call.frames.nbytes}
    frames = {"name": "frames", "shape": call.shape, "datatype": "UINT8", "parameters": where}
    outputs = [
        {"name": name, "parameters": {"binary_data": True} if region is None else _parameters(region)}
        for name, region in call.outputs.items()
    ]
    before = b'{"parameters":{"timeout":'
    after = b"}," + json.dumps({"inputs": [frames], "outputs": outputs}).encode()[1:]
    json_bytes = len(before) + 10 + len(after)
    head = f"POST /v2/models/{quote(call.model, safe='')}/infer HTTP/1.1\r\nHost: {authority}\r\n"
    if here is not None:
        head += f"Inference-Header-Content-Length: {json_bytes}\r\n"
    head += f"Content-Length: {json_bytes + (0 if here is None else here.nbytes)}\r\n\r\n"
    return head.encode() + before, after


def _parameters(region: Region) -> dict[str, object]:
    return {
        "shared_memory_region": region.name,
        "shared_memory_offset": region.offset,
        "shared_memory_byte_size": region.byte_size,
    }


def _read(status: int, body: bytes, json_bytes: int | None, wanted: Sequence[str]) -> Answer:
    """The tensors of an answer.

    Raises:
        InferenceError: The answer is a refusal, or lacks a wanted output.
    """
    if status != OK:
        raise refused(status, body)
    if not wanted:
        return {}
    end = len(body) if json_bytes is None else json_bytes
    try:
        outputs = _header_decoder.decode(body[:end])
    except msgspec.MsgspecError as error:
        raise InferenceRejectedError(f"the answer can't be read: {error}") from error
    tensors: dict[str, memoryview] = {}
    for output in outputs.outputs:
        start, end = end, end + int(output.parameters.get("binary_data_size", 0))
        tensors[output.name] = memoryview(body)[start:end]
    missing = [name for name in wanted if not tensors.get(name)]
    if missing or end != len(body):
        raise InferenceRejectedError(f"the answer lacks {', '.join(missing) or 'a part of its tensors'}")
    return tensors


def _unreadable(cause: Exception) -> InferenceError:
    """The error behind an answer that makes no sense."""
    error = InferenceRejectedError(f"the answer can't be read: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error


def refused(status: int, body: bytes) -> InferenceError:
    """The error behind an answer that is none."""
    return refusal(_reason(status, body), unavailable=status == SERVICE_UNAVAILABLE)


def _reason(status: int, body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeDecodeError):
        return f"HTTP status {status}"
