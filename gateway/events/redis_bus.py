"""Fan-out of committed events between replicas, through Redis; within a replica it doesn't need Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import uuid_utils

from gateway.domain.event import Event
from gateway.domain.ports import Store
from gateway.events.bus import MemoryEventBus
from gateway.redis_link import TIMEOUT_S, channel, connect, for_ever, ping

QUEUE = 1000
"""Batches that may wait for Redis; with one more the oldest is dropped: the others find its events in the outbox."""

_WITHOUT = "no fan-out between replicas"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What replicas tell each other.

    Attributes:
        sender: Which replica.
        events: What it has committed; none to say that cameras should be looked at.
    """

    sender: str
    events: list[Event]


class RedisEventBus:
    """Implements `gateway.domain.ports.EventBus`: events of this replica at once, those of others through Redis.

    Redis only says when to look, the outbox is the truth (see `follow`). While Redis is away listeners hear of this
    replica's events alone; once it is back they are told the newest event, which makes them read what they missed.

    Args:
        url: `redis://[[user]:password@]host:6379/0`, `rediss://…` for TLS.
        store: Tells the newest event when Redis is back.
        local: Fan-out within this replica.
        on_cameras: Called when another replica says that cameras should be looked at.

    Raises:
        ConfigurationError: The URL isn't one of Redis.
    """

    def __init__(
        self,
        url: str,
        store: Store,
        local: MemoryEventBus | None = None,
        on_cameras: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = connect(url)
        self._channel = channel(self._redis, "events")
        self._store = store
        self._local = local or MemoryEventBus()
        self._on_cameras = on_cameras
        self._name = str(uuid_utils.uuid7())
        self._outgoing: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)

    @property
    def closed(self) -> bool:
        """Whether the bus has been closed, and every listener ended for that."""
        return self._local.closed

    def publish(self, events: Sequence[Event]) -> None:
        """Hand events to every listener here, and to the other replicas when Redis takes them."""
        self._local.publish(events)
        if events:
            self._send_soon(events)

    def announce_cameras(self) -> None:
        """Have the other replicas look at the cameras, when Redis takes it."""
        self._send_soon(())

    def _send_soon(self, events: Sequence[Event]) -> None:
        if self._outgoing.full():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(msgspec.json.encode(Message(sender=self._name, events=list(events))))

    def listen(self) -> AsyncIterator[Event]:
        """Events from now on; ends when the listener was too slow or the bus closes."""
        return self._local.listen()

    def close(self) -> None:
        """End every listener after what already waits for it; may be called twice."""
        self._local.close()

    async def ping(self) -> None:
        """Ask Redis for an answer; `FanOutError` when none comes."""
        await ping(self._redis)

    async def run(self) -> None:
        """Exchange events with the other replicas until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(for_ever(self._send, _WITHOUT))
                tasks.create_task(for_ever(self._receive, _WITHOUT))
        finally:
            await self._redis.aclose()

    async def _send(self) -> None:
        while True:
            batch = await self._outgoing.get()
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.publish(self._channel, batch)

    async def _receive(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as hearing:
            await hearing.subscribe(self._channel)
            await self._tell_newest()
            async for message in hearing.listen():
                heard = msgspec.json.decode(message["data"], type=Message)
                if heard.sender != self._name:
                    self._local.publish(heard.events)
                    if not heard.events:
                        self._on_cameras()

    async def _tell_newest(self) -> None:
        self._local.publish(await self._store.events_after(await self._store.last_event_number() - 1, 1))
