"""What everything that talks through Redis does alike: connect, ask, and begin again after a failure."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.ending import until_one_ends
from gateway.errors import ConfigurationError, FanOutError, StoreError
from gateway.masking import mask_secrets

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
TIMEOUT_S = 5.0
CANCEL_AGAIN_S = 0.1  # redis-py loses every other cancellation that comes while it connects
REMIND_S = 60.0
"""A failure that stays the same is logged again after this."""

_logger = logging.getLogger(__name__)


def connect(url: str) -> Redis:
    """A client that connects when it is used first; `ConfigurationError` where the URL isn't one of Redis."""
    try:
        # One try more, at once: a connection that a restarted server has dropped is found out by using it.
        retry = Retry(NoBackoff(), 1)
        return Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_keepalive=True, retry=retry)
    except ValueError as error:
        raise ConfigurationError("REDIS_URL is written redis://host:6379/0 or rediss://…") from error


def channel(redis: Redis, name: str) -> str:
    """What a channel is called: Redis has one set of them for all its databases, which may belong to several sites."""
    return f"ruth-ai:{redis.connection_pool.connection_kwargs.get('db', 0)}:{name}"


async def ping(redis: Redis) -> None:
    """Ask Redis for an answer; `FanOutError` when none comes."""
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        raise FanOutError(f"Redis can't be reached: {mask_secrets(str(error))}") from error


async def for_ever(
    exchange: Callable[[], Coroutine[None, None, None]], without: str, longest_pause_s: float = LONGEST_PAUSE_S
) -> None:
    """Begin again after each failure, and wait a random part of a time that doubles ("full jitter").

    Args:
        exchange: Talks until it fails.
        without: What there isn't meanwhile, for the log.
        longest_pause_s: Where the doubling ends.
    """
    clock, pause_s = asyncio.get_running_loop().time, FIRST_PAUSE_S
    told, told_s = "", 0.0
    while True:
        started_s = clock()
        try:
            await until_one_ends(exchange(), again_s=CANCEL_AGAIN_S)
        except (RedisError, OSError, StoreError, msgspec.DecodeError) as error:
            now_s, reason = clock(), mask_secrets(str(error)) or type(error).__name__
            if now_s - started_s > LONGEST_PAUSE_S:
                told, pause_s = "", FIRST_PAUSE_S
            if reason != told or now_s - told_s > REMIND_S:
                told, told_s = reason, now_s
                _logger.warning("%s: %s", without, reason)
            await asyncio.sleep(pause_s * random.random())  # noqa: S311 - no secret
            pause_s = min(longest_pause_s, pause_s * 2)
