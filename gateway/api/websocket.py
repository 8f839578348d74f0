"""The events of `GET /events` over a WebSocket: one JSON text message each, and a close code that tells why it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeAlias

import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import PermissionDeniedException

from gateway.api.origin import same_origin
from gateway.api.page import LARGEST_NUMBER
from gateway.api.services import Injected
from gateway.domain.event import Event, EventFilter, EventType
from gateway.errors import InvalidInputError
from gateway.events.stream import Signal, stream

LARGEST_MESSAGE_BYTES = 65536
"""Listeners have nothing to say; what they say all the same is dropped."""

INVALID_INPUT = 4422
"""Close code for a query that can't be used: browsers don't show a page what a refused handshake answered."""

CLOSE_CODES: Mapping[Signal, int] = {
    Signal.SHUTTING_DOWN: 1012,  # service restart, https://www.iana.org/assignments/websocket
    Signal.DATABASE_AWAY: 1013,  # try again later
    Signal.SLOW_CONSUMER: 4008,
}
LONGEST_REASON_BYTES = 123  # RFC 6455, section 5.5

Socket: TypeAlias = WebSocket[Any, Any, Any]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in the query, as for server-sent events.

    Attributes:
        last_event_id: Go on after this event; None for only what happens from now on.
        camera_id: Only of these cameras.
        type: Only of these types.
    """

    last_event_id: int | None = None
    camera_id: frozenset[str] = frozenset()
    type: frozenset[EventType] = frozenset()


@websocket("/ws")
async def stream_websocket(socket: Socket, services: Injected) -> None:
    """Replays what was missed, then goes on live without a gap, until one side has enough."""
    if not same_origin(socket):
        raise PermissionDeniedException("a page of another web site asks")
    try:
        query = parse_query(socket.query_params.dict())
    except InvalidInputError as error:
        await socket.accept()
        reason = str(error).encode()[:LONGEST_REASON_BYTES].decode(errors="ignore")
        await socket.close(code=INVALID_INPUT, reason=reason)
        return
    chosen = EventFilter(camera_ids=query.camera_id, types=query.type)
    items = stream(services.store, services.bus, query.last_event_id, chosen)
    await anext(items)  # opened: whatever happens after the listener sees the connection open, it hears of
    await socket.accept()
    sending = asyncio.create_task(_send(socket, items))
    hearing = asyncio.create_task(_hear(socket, sending))
    try:
        await sending
    except asyncio.CancelledError:
        if not sending.cancelled():
            raise  # it is us who are cancelled
    finally:
        sending.cancel()
        hearing.cancel()


def parse_query(parameters: Mapping[str, list[str]]) -> Query:
    """Read the query; `InvalidInputError` says what can't be used."""
    stated: dict[str, object] = {**parameters}
    if "last_event_id" in parameters:
        stated["last_event_id"] = parameters["last_event_id"][-1]
    try:
        query = msgspec.convert(stated, Query, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error)) from error
    if query.last_event_id is not None and not 0 <= query.last_event_id <= LARGEST_NUMBER:
        raise InvalidInputError("last_event_id is 0 or the number of an event")
    return query


async def _send(socket: Socket, items: AsyncIterator[Event | Signal]) -> None:
    """Send each event; pings, which the server sends by itself, keep the connection open."""
    with contextlib.suppress(OSError):  # uvicorn's for a listener that is gone
        async for item in items:
            if isinstance(item, Event):
                await socket.send_text(msgspec.json.encode(item).decode())
            elif item in CLOSE_CODES:
                await socket.close(code=CLOSE_CODES[item], reason=item.value)


async def _hear(socket: Socket, sending: "asyncio.Task[None]") -> None:
    """Drop what the listener says; let go of it when it hangs up."""
    message_type = "websocket.connect"
    while message_type != "websocket.disconnect":
        message_type = (await socket.receive())["type"]
    sending.cancel()
