"""Runtimes known to all replicas through Redis, which may be lost at any time."""

import asyncio
import contextlib
import logging
from typing import Any, TypeVar

import msgspec
import uuid_utils
from redis.asyncio.client import Pipeline, PubSub
from redis.exceptions import RedisError

from gateway.directory.memory import GOODBYE_S
from gateway.domain.clock import Clock
from gateway.domain.ports import RuntimeListener
from gateway.domain.runtime import RuntimeEntry
from gateway.masking import mask_secrets
from gateway.redis_link import channel, connect, for_ever

IDS = "ruth-ai:runtime-ids"
LONGEST_SILENCE_S = 2.0

_WITHOUT = "no runtime directory between replicas"
_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag="heard"):
    """A replica knows this of a runtime."""

    sender: str
    entry: RuntimeEntry


class Gone(msgspec.Struct, frozen=True, kw_only=True, tag="gone"):
    """A runtime said goodbye; whoever has let go of it answers with `LetGo`."""

    sender: str
    runtime_id: str
    goodbye: str


class LetGo(msgspec.Struct, frozen=True, kw_only=True, tag="let_go"):
    """Answers `Gone`."""

    sender: str
    goodbye: str


Message = Heard | Gone | LetGo

_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Heard | Gone | LetGo)
_entries = msgspec.json.Decoder(RuntimeEntry)


class RedisRuntimeDirectory:
    """Implements `gateway.domain.ports.RuntimeDirectory`.

    Replicas hear of each heartbeat on a channel. For those that begin later the newest of each runtime is kept under
    `ruth-ai:runtime:<id>`, which expires. After each connection a replica reads what is kept, and keeps what it knows
    where nothing is: a Redis that was wiped has it all again.

    Args:
        url: `redis://[[user]:password@]host:6379/0`, `rediss://…` for TLS.
        clock: For intervals.
        expiry_s: An older entry is forgotten, by Redis too.

    Raises:
        ConfigurationError: The URL isn't one of Redis.
    """

    def __init__(self, url: str, clock: Clock, expiry_s: float) -> None:
        self._redis = connect(url)
        self._channel = channel(self._redis, "runtimes")
        self._clock = clock
        self._expiry_s = expiry_s
        self._silence_s = min(LONGEST_SILENCE_S, expiry_s / 4)
        self._name = str(uuid_utils.uuid7())
        self._waiting: dict[str, tuple[RuntimeEntry, float]] = {}
        self._told = asyncio.Event()
        self._awaited: dict[str, asyncio.Semaphore] = {}
        self._letting_go: set[asyncio.Task[None]] = set()
        self._since_s: float | None = None

    @property
    def hearing_since_s(self) -> float | None:
        """Since when all that the others tell comes here; None while Redis is away."""
        return self._since_s

    def tell(self, entry: RuntimeEntry) -> None:
        """Tell the others when Redis takes it; of a runtime only the newest waits."""
        self._waiting[entry.capability.runtime_id] = entry, self._clock.monotonic()
        self._told.set()

    async def say_goodbye(self, runtime_id: str) -> None:
        """Have the others let go of a runtime; returns when they have, or could have by now, or Redis is away."""
        self._waiting.pop(runtime_id, None)
        goodbye = str(uuid_utils.uuid7())
        self._awaited[goodbye] = let_go = asyncio.Semaphore(0)
        try:
            async with asyncio.timeout(GOODBYE_S):
                for _ in range(await self._publish_goodbye(runtime_id, goodbye)):
                    await let_go.acquire()
        except (TimeoutError, RedisError, OSError) as error:
            reason = mask_secrets(str(error)) or "a replica didn't answer in time"
            _logger.warning("a goodbye may not be known", extra={"runtime_id": runtime_id, "reason": reason})
        finally:
            del self._awaited[goodbye]

    async def _publish_goodbye(self, runtime_id: str, goodbye: str) -> int:
        """Publish it; how many other replicas heard it."""
        message = Gone(sender=self._name, runtime_id=runtime_id, goodbye=goodbye)
        async with self._redis.pipeline() as commands:
            commands.delete(_key(runtime_id))
            commands.srem(IDS, runtime_id)
            commands.publish(self._channel, msgspec.json.encode(message))
            *_, listeners = await commands.execute()
        return int(listeners) - (self._since_s is not None)

    async def run(self, listener: RuntimeListener) -> None:
        """Pass on what the others tell, until cancelled."""
        longest_pause_s = self._expiry_s / 6  # half a heartbeat
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(for_ever(self._send, _WITHOUT, longest_pause_s))
                tasks.create_task(for_ever(lambda: self._receive(listener), _WITHOUT, longest_pause_s))
        finally:
            for task in self._letting_go:
                task.cancel()
            await self._redis.aclose()

    async def _send(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            for runtime_id in list(self._waiting):
                entry, told_s = self._waiting[runtime_id]
                aged = msgspec.structs.replace(entry, age_s=entry.age_s + self._clock.monotonic() - told_s)
                try:
                    await self._keep([aged], anew=True)
                except BaseException:
                    self._told.set()  # it waits on
                    raise
                if self._waiting.get(runtime_id) == (entry, told_s):
                    del self._waiting[runtime_id]

    async def _keep(self, entries: list[RuntimeEntry], *, anew: bool) -> None:
        """Keep and publish entries that aren't too old; `anew` in place of what is kept."""
        async with asyncio.timeout(LONGEST_SILENCE_S), self._redis.pipeline() as commands:
            for entry in entries:
                left_ms = int((self._expiry_s - entry.age_s) * 1000)
                if left_ms > 0:
                    self._keep_one(commands, entry, left_ms, anew=anew)
            await commands.execute()

    def _keep_one(self, commands: Pipeline, entry: RuntimeEntry, left_ms: int, *, anew: bool) -> None:
        runtime_id = entry.capability.runtime_id
        commands.set(_key(runtime_id), msgspec.json.encode(entry), px=left_ms, nx=not anew)
        commands.sadd(IDS, runtime_id)
        commands.publish(self._channel, msgspec.json.encode(Heard(sender=self._name, entry=entry)))

    async def _receive(self, listener: RuntimeListener) -> None:
        try:
            async with self._redis.pubsub() as hearing:
                await hearing.subscribe(self._channel)
                while True:
                    message = await self._next(hearing)
                    if message["type"] == "subscribe":  # also after redis-py has connected anew by itself
                        await self._catch_up(listener)
                    elif message["type"] == "message":
                        self._take(listener, message["data"])
        finally:
            self._since_s = None

    async def _next(self, hearing: PubSub) -> dict[str, Any]:
        """The next message. In silence Redis is asked whether it is there; `TimeoutError` where it doesn't answer."""
        message: dict[str, Any] | None = await hearing.get_message(timeout=self._silence_s)
        if message is None:
            await hearing.ping()
            message = await hearing.get_message(timeout=self._silence_s)
        if message is None:
            raise TimeoutError(f"Redis hasn't answered for {self._silence_s:g} s")
        return message

    async def _catch_up(self, listener: RuntimeListener) -> None:
        """Take over what is kept, and keep what isn't."""
        for each in await self._redis.smembers(IDS):
            runtime_id = each.decode(errors="replace") if isinstance(each, bytes) else each
            async with self._redis.pipeline() as commands:
                commands.get(_key(runtime_id))
                commands.pttl(_key(runtime_id))
                kept, left_ms = await commands.execute()
            if kept is None:
                await self._redis.srem(IDS, runtime_id)
            elif (entry := _decoded(kept, _entries)) is not None:
                listener.heard(msgspec.structs.replace(entry, age_s=max(0.0, self._expiry_s - left_ms / 1000)))
        self._since_s = self._clock.monotonic()
        await self._keep(list(listener.known()), anew=False)

    def _take(self, listener: RuntimeListener, content: bytes) -> None:
        match message := _decoded(content, _messages):
            case None:
                return
            case LetGo():
                if message.goodbye in self._awaited:
                    self._awaited[message.goodbye].release()
            case Heard() if message.sender != self._name:
                listener.heard(message.entry)
            case Gone() if message.sender != self._name:
                self._waiting.pop(message.runtime_id, None)
                self._letting_go.add(task := asyncio.create_task(self._let_go(listener, message)))
                task.add_done_callback(self._letting_go.discard)
            case _:
                pass  # its own

    async def _let_go(self, listener: RuntimeListener, message: Gone) -> None:
        await listener.gone(message.runtime_id)
        answer = msgspec.json.encode(LetGo(sender=self._name, goodbye=message.goodbye))
        with contextlib.suppress(RedisError, OSError):  # the other one doesn't wait for ever
            await self._redis.publish(self._channel, answer)


def _key(runtime_id: str) -> str:
    return f"ruth-ai:runtime:{runtime_id}"


def _decoded(content: bytes, decoder: msgspec.json.Decoder[_T]) -> _T | None:
    """What another replica wrote; None, and a word in the log, where this one can't read it."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _logger.warning("what another replica tells of runtimes can't be read: %s", error)
        return None
