"""Fan-out of committed events between replicas, through Redis; within a replica it doesn't need Redis."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec
import uuid_utils
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.domain.event import Event
from gateway.domain.ports import Store
from gateway.errors import ConfigurationError, FanOutError, StoreError
from gateway.events.bus import MemoryEventBus
from gateway.masking import mask_secrets

CHANNEL = "ruth-ai:events"
QUEUE = 1000
"""Batches that may wait for Redis; with one more the oldest is dropped: the others find its events in the outbox."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
TIMEOUT_S = 5.0

_logger = logging.getLogger(__name__)


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
        try:
            self._redis = Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_keepalive=True)
        except ValueError as error:
            raise ConfigurationError("REDIS_URL is written redis://host:6379/0 or rediss://…") from error
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
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise FanOutError(f"Redis can't be reached: {mask_secrets(str(error))}") from error

    async def run(self) -> None:
        """Exchange events with the other replicas until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._for_ever(self._send))
                tasks.create_task(self._for_ever(self._receive))
        finally:
            await self._redis.aclose()

    async def _for_ever(self, exchange: Callable[[], Awaitable[None]]) -> None:
        """Begin again after each failure, and wait a random part of a time that doubles ("full jitter")."""
        longest_s = FIRST_PAUSE_S
        while True:
            started_s = asyncio.get_running_loop().time()
            try:
                await exchange()
            except (RedisError, OSError, StoreError, msgspec.DecodeError) as error:
                if asyncio.get_running_loop().time() - started_s > LONGEST_PAUSE_S:
                    longest_s = FIRST_PAUSE_S
                _logger.warning("no fan-out between replicas: %s", mask_secrets(str(error)))
                await asyncio.sleep(longest_s * random.random())  # noqa: S311 - no secret
                longest_s = min(LONGEST_PAUSE_S, longest_s * 2)

    async def _send(self) -> None:
        while True:
            batch = await self._outgoing.get()
            async with asyncio.timeout(TIMEOUT_S):
                await self._redis.publish(CHANNEL, batch)

    async def _receive(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            await self._tell_newest()
            async for message in channel.listen():
                heard = msgspec.json.decode(message["data"], type=Message)
                if heard.sender != self._name:
                    self._local.publish(heard.events)
                    if not heard.events:
                        self._on_cameras()

    async def _tell_newest(self) -> None:
        self._local.publish(await self._store.events_after(await self._store.last_event_number() - 1, 1))
