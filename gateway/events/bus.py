"""Fan-out of committed events within this process."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Self

from gateway.domain.event import Event

DEFAULT_CAPACITY = 1024
"""Two batches of the drain: a listener isn't cut off while a backlog is drained that it keeps up with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusStatistics:
    """How the bus is doing.

    Attributes:
        listeners: How many listen now.
        published: Events published since the start.
        cut_off: Listeners cut off since the start, as they were too slow.
    """

    listeners: int
    published: int
    cut_off: int


class MemoryEventBus:
    """Implements `gateway.domain.ports.EventBus`. For one event loop; a listener ends when it is dropped.

    Args:
        capacity: Events that may wait for a listener; with one more it is cut off.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self._capacity = capacity
        self._listeners: weakref.WeakSet[_Listener] = weakref.WeakSet()
        self._published = 0
        self._cut_off = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the bus has been closed, and every listener ended for that."""
        return self._closed

    def publish(self, events: Sequence[Event]) -> None:
        """Hand events to every listener; a listener that is too slow is cut off, never waited for."""
        self._published += len(events)
        for listener in list(self._listeners):
            if not listener.offer(events, self._capacity):
                self._listeners.discard(listener)
                self._cut_off += 1

    def listen(self) -> AsyncIterator[Event]:
        """Events from now on, the moment of this call; ends when the listener was too slow or the bus closes."""
        listener = _Listener()
        if self._closed:
            listener.end()
        else:
            self._listeners.add(listener)
        return listener

    def statistics(self) -> BusStatistics:
        """How the bus is doing."""
        return BusStatistics(listeners=len(self._listeners), published=self._published, cut_off=self._cut_off)

    def close(self) -> None:
        """End every listener after what already waits for it; may be called twice."""
        self._closed = True
        for listener in list(self._listeners):
            listener.end()
        self._listeners.clear()


class _Listener(AsyncIterator[Event]):
    """The events that wait for one listener."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def offer(self, events: Sequence[Event], capacity: int) -> bool:
        """Add events; or drop all and end, and return False, where they don't fit."""
        fits = len(self._events) + len(events) <= capacity
        if fits:
            self._events.extend(events)
        else:
            self._events.clear()
            self._ended = True
        self._changed.set()
        return fits

    def end(self) -> None:
        """No event comes after those that wait."""
        self._ended = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()
