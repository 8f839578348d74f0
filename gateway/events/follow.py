"""Every event once and in order, from any point of the past into the present."""

from collections.abc import AsyncGenerator, AsyncIterator

from gateway.domain.event import Event
from gateway.domain.ports import EventBus, Store

PAGE = 200
"""Events read from the outbox at once."""


async def follow(store: Store, bus: EventBus, after: int | None = None) -> AsyncGenerator[Event, None]:
    """Replay the outbox, then go on live: no gap, no double, numbers that only grow.

    The outbox is the truth and the bus says when to look. A live event that follows the last one directly is passed on
    as it is; where a number is missing (it was published out of turn, in another process, or while this listener was
    cut off for being slow) the outbox is read. Ends when the bus is closed.

    Where events that should have come were trimmed, an event of the type `events.missed` stands in their place; its
    number is that of the last of them.

    Args:
        store: Holds the outbox.
        bus: Tells of new events.
        after: Number of the last event the listener has seen; None to begin with the next one.

    Raises:
        DatabaseError: The outbox can't be read; follow again from the last event that came.
    """
    while not bus.closed:
        live = bus.listen()
        if after is None:
            after = await store.last_event_number()
        async for event in _replay(store, after):
            after = event.number
            yield event
        async for event in live:
            if event.number == after + 1:
                after = event.number
                yield event
            elif event.number > after:
                async for missed in _replay(store, after):
                    after = missed.number
                    yield missed


async def _replay(store: Store, after: int) -> AsyncIterator[Event]:
    """What the outbox holds after a number, read by pages."""
    while page := await store.events_after(after, PAGE):
        if page[0].number > after + 1 and (missed := await store.events_missed(after, page[0].number)):
            yield missed
        for event in page:
            yield event
        after = page[-1].number
