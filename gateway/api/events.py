"""Server-sent events: violations and changed grants as they happen, resumable by `Last-Event-ID`."""

from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from typing import Annotated, TypeAlias

import msgspec
from litestar import get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from gateway.api.page import LARGEST_NUMBER
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.event import Event, EventFilter, EventType
from gateway.events.stream import Signal, stream

OPENING = b"retry: 2000\n\n"
"""Sent at once, so that the caller sees the stream open; tells how many milliseconds to wait before reconnecting."""

KEEP_ALIVE = b": keep-alive\n\n"

LastEventIdHeader: TypeAlias = Annotated[
    int | None,
    HeaderParameter(
        name="Last-Event-ID",
        description="Go on after this event; without it, only what happens from now on.",
        ge=0,
        le=LARGEST_NUMBER,
    ),
]
LastEventId: TypeAlias = Annotated[
    int | None,
    QueryParameter(
        description="The same, for callers that can't set headers; the header goes before it.", ge=0, le=LARGEST_NUMBER
    ),
]
CameraIds: TypeAlias = Annotated[
    frozenset[str], QueryParameter(name="camera_id", description="Only of this camera; may be repeated.")
]
Types: TypeAlias = Annotated[
    frozenset[EventType], QueryParameter(name="type", description="Only of this type; may be repeated.")
]


@get(
    "/events",
    media_type="text/event-stream",
    operation_id="stream_events",
    summary="Violations and changed grants as they happen",
    description="Server-sent events: `id` is the outbox number, `event` the type, `data` the event as JSON. "
    "A comment every 15 s keeps the connection open; an event `end` tells why the stream ends.",
    tags=["events"],
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def stream_events(
    services: Injected,
    last_event_id_header: LastEventIdHeader = None,
    last_event_id: LastEventId = None,
    camera_ids: CameraIds = frozenset(),
    types: Types = frozenset(),
) -> Stream:
    """Replays what was missed, then goes on live without a gap."""
    after = last_event_id if last_event_id_header is None else last_event_id_header
    items = stream(services.store, services.bus, after, EventFilter(camera_ids=camera_ids, types=types))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(server_sent(items), media_type="text/event-stream", headers=headers)


async def server_sent(items: AsyncIterator[Event | Signal]) -> AsyncGenerator[bytes, None]:
    """Write a stream for the wire."""
    async for item in items:
        yield encode(item)


def encode(item: Event | Signal) -> bytes:
    """One item in the format of https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    match item:
        case Event():
            return b"id: %d\nevent: %s\ndata: %s\n\n" % (item.number, item.type.encode(), msgspec.json.encode(item))
        case Signal.OPENED:
            return OPENING
        case Signal.KEEP_ALIVE:
            return KEEP_ALIVE
        case _:
            return b"event: end\ndata: %s\n\n" % msgspec.json.encode({"reason": item})
