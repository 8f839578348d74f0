"""Server-sent events: violations and changed grants as they happen, resumable by `Last-Event-ID`."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from http import HTTPStatus
from typing import Annotated, TypeAlias

import msgspec
from litestar import get
from litestar.params import HeaderParameter
from litestar.response import Stream

from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.event import Event
from gateway.errors import DatabaseError
from gateway.events.follow import follow

KEEP_ALIVE_S = 15.0
"""Well below the idle time-out of common proxies (60 s in nginx and in AWS load balancers)."""

KEEP_ALIVE = b": keep-alive\n\n"
OPENING = b"retry: 2000\n\n"
"""Sent at once, so that the caller sees the stream open; tells how many milliseconds to wait before reconnecting."""

logger = logging.getLogger(__name__)

LastEventId: TypeAlias = Annotated[
    int | None,
    HeaderParameter(
        name="Last-Event-ID", description="Go on after this event; without it, only what happens from now on.", ge=0
    ),
]


@get(
    "/events",
    media_type="text/event-stream",
    operation_id="stream_events",
    summary="Violations and changed grants as they happen",
    description="Server-sent events: `id` is the outbox number, `event` the type, `data` the event as JSON. "
    "A comment every 15 s keeps the connection open.",
    tags=["events"],
    responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY),
)
async def stream_events(services: Injected, last_event_id: LastEventId = None) -> Stream:
    """Replays what was missed, then goes on live without a gap."""
    events = follow(services.store, services.bus, last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(server_sent(events, KEEP_ALIVE_S), media_type="text/event-stream", headers=headers)


async def server_sent(events: AsyncIterator[Event], keep_alive_s: float) -> AsyncGenerator[bytes, None]:
    """Write events for the wire, and a comment whenever none came for `keep_alive_s`.

    Ends when `events` does or the database is away: the caller reconnects and resumes, as the format has it.
    """
    yield OPENING
    upcoming = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=keep_alive_s)
            if not done:
                yield KEEP_ALIVE
            elif event := upcoming.result():
                yield encode(event)
                upcoming = asyncio.ensure_future(anext(events, None))
            else:
                return
    except DatabaseError as error:
        logger.warning("event stream ended: %s", error)
    finally:
        upcoming.cancel()


def encode(event: Event) -> bytes:
    """One event in the format of https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.type.encode(), msgspec.json.encode(event))
