"""Events between replicas through a real Redis."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.domain.event import Event
from gateway.errors import ConfigurationError, FanOutError
from gateway.events.follow import follow
from gateway.events.redis_bus import RedisEventBus
from tests.support.api_app import Api, running_api
from tests.support.redis_server import PrivateRedis, private_redis
from tests.support.violations import opened


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def _replica(
    redis: PrivateRedis, api: Api, database: int = 0, on_cameras: Callable[[], None] = lambda: None
) -> AsyncIterator[RedisEventBus]:
    bus = RedisEventBus(redis.url.replace("/0", f"/{database}"), api.store, on_cameras=on_cameras)
    listening = _listening(redis, database)
    task = asyncio.create_task(bus.run())
    try:
        async with asyncio.timeout(10):
            while _listening(redis, database) == listening:  # noqa: ASYNC110 - what Redis has
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)  # by then it has told the newest event
        yield bus
    finally:
        bus.close()
        task.cancel()
        await asyncio.wait({task})


def _listening(redis: PrivateRedis, database: int) -> str:
    return redis.command("pubsub", "numsub", f"ruth-ai:{database}:events")


async def _next(events: AsyncIterator[Event]) -> int:
    async with asyncio.timeout(20):
        return (await anext(events)).number


async def test_listeners_of_one_replica_hear_the_other_also_after_redis_was_killed_and_wiped(
    redis: PrivateRedis, api: Api
) -> None:
    async with _replica(redis, api) as one, _replica(redis, api) as other:
        here, there = follow(api.store, one, 0), follow(api.store, other, 0)

        async def happen() -> None:
            one.publish(await api.store.apply([opened(), opened()]))

        await happen()
        assert [await _next(events) for events in (here, here, there, there)] == [1, 2, 1, 2]
        await other.ping()

        redis.kill()
        with pytest.raises(FanOutError):
            await other.ping()
        await happen()
        assert [await _next(here), await _next(here)] == [3, 4]  # this replica's own come at once

        redis.start()
        assert [await _next(there), await _next(there)] == [3, 4]
        await happen()
        assert [await _next(events) for events in (here, here, there, there)] == [5, 6, 5, 6]


async def test_an_event_of_this_replica_comes_once(redis: PrivateRedis, api: Api) -> None:
    async with _replica(redis, api) as one, _replica(redis, api) as other:
        await other.ping()
        listener = one.listen()
        one.publish(await api.store.apply([opened()]))
        other.publish(await api.store.apply([opened()]))
        assert await _next(listener) == 1
        async with asyncio.timeout(20):
            numbers = [(await anext(listener)).number]
        assert numbers == [2]


async def test_it_ends_whenever_it_is_told_to_even_while_it_connects(redis: PrivateRedis, api: Api) -> None:
    for turn in range(40):
        bus = RedisEventBus(redis.url, api.store)
        task = asyncio.create_task(bus.run())
        await asyncio.sleep(0.0005 * (turn % 20))
        task.cancel()
        _, running = await asyncio.wait({task}, timeout=5)
        assert not running


async def test_sites_on_one_redis_are_kept_apart_by_its_databases(redis: PrivateRedis, api: Api) -> None:
    async with _replica(redis, api) as one, _replica(redis, api) as same, _replica(redis, api, 1) as another:
        await asyncio.gather(same.ping(), another.ping())
        listeners = [bus.listen() for bus in (same, another)]
        one.publish(await api.store.apply([opened()]))
        assert await _next(listeners[0]) == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(listeners[1])


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        RedisEventBus("http://redis", None)  # type: ignore[arg-type]


async def test_a_replica_that_says_to_look_at_the_cameras_is_heard_by_the_others_alone(
    redis: PrivateRedis, api: Api
) -> None:
    heard: list[str] = []
    looked = asyncio.Event()

    def other_hears() -> None:
        heard.append("other")
        looked.set()

    async with (
        _replica(redis, api, on_cameras=lambda: heard.append("one")) as one,
        _replica(redis, api, on_cameras=other_hears) as other,
    ):
        listener = other.listen()
        async with asyncio.timeout(20):
            while not looked.is_set():  # the other may not have subscribed yet
                one.announce_cameras()
                await asyncio.sleep(0.05)
        one.publish(await api.store.apply([opened()]))
        assert await _next(listener) == 1
    assert "one" not in heard
