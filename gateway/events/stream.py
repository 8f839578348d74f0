"""What one listener is sent: the events it chose, signs of life between them, and in the end the reason why."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from enum import StrEnum

from gateway.domain.event import Event, EventFilter
from gateway.domain.ports import EventBus, Store
from gateway.errors import DatabaseError
from gateway.events.follow import follow

KEEP_ALIVE_S = 15.0
"""Well below the idle time-out of common proxies (60 s in nginx and in AWS load balancers)."""

SLOW_S = 30.0
"""A listener that takes longer to take one event is cut off; from the last one it has it may go on."""

_logger = logging.getLogger(__name__)


class Signal(StrEnum):
    """What a listener is told beside events."""

    OPENED = "opened"
    KEEP_ALIVE = "keep_alive"
    SHUTTING_DOWN = "shutting_down"
    DATABASE_AWAY = "database_away"
    SLOW_CONSUMER = "slow_consumer"


async def stream(
    store: Store,
    bus: EventBus,
    after: int | None,
    chosen: EventFilter,
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
    slow_s: float = SLOW_S,
) -> AsyncGenerator[Event | Signal, None]:
    """Follow the outbox for one listener, whatever it is reached by.

    Begins with `OPENED`: where it begins now, every event that is written from then on will come. `KEEP_ALIVE` comes
    whenever nothing did for `keep_alive_s`. The last item is `SHUTTING_DOWN`, `DATABASE_AWAY` or `SLOW_CONSUMER`; the
    listener may come back with the number of the last event it had.

    Args:
        store: Holds the outbox.
        bus: Tells of new events.
        after: Number of the last event the listener has seen; None to begin now, as a number does that is yet to be
            given: the database was restored, or is another one.
        chosen: Which events it wants.
        keep_alive_s: Longest silence.
        slow_s: Longest time that the listener may take for one item.
    """
    clock = asyncio.get_running_loop().time
    upcoming: asyncio.Future[Event | None] | None = None
    try:
        newest = await store.last_event_number()
        after = newest if after is None else min(after, newest)  # or it would wait until the outbox has come that far
        yield Signal.OPENED
        events = _chosen(store, bus, after, chosen)
        upcoming = asyncio.ensure_future(anext(events, None))
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=keep_alive_s)
            event = upcoming.result() if done else Signal.KEEP_ALIVE
            if event is None:
                yield Signal.SHUTTING_DOWN
                return
            handed_s = clock()
            yield event
            if clock() - handed_s > slow_s:
                _logger.warning("a listener to events was cut off: it took longer than %g s for one", slow_s)
                yield Signal.SLOW_CONSUMER
                return
            if done:
                upcoming = asyncio.ensure_future(anext(events, None))
    except DatabaseError as error:
        _logger.warning("event stream ended: %s", error)
        if upcoming is None:
            yield Signal.OPENED
        yield Signal.DATABASE_AWAY
    finally:
        if upcoming is not None:
            upcoming.cancel()


async def _chosen(store: Store, bus: EventBus, after: int, chosen: EventFilter) -> AsyncGenerator[Event, None]:
    async for event in follow(store, bus, after):
        if chosen.matches(event):
            yield event
