"""Two gateways on one Redis: a runtime that declares itself to either is known to both."""

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.directory.redis_directory import RedisRuntimeDirectory
from gateway.domain.clock import SystemClock
from gateway.domain.runtime import RuntimeEntry
from gateway.pipeline.roster import Roster
from tests.support.api_app import a_capability
from tests.support.redis_server import PrivateRedis, private_redis
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import eventually, free_ports
from tests.support.unserved_runtimes import Registry

HEARTBEAT_S = 0.5
EXPIRY_S = 3 * HEARTBEAT_S
TOKEN = "known to runtimes and gateways alone"


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


class Runtime:
    """Declares itself as an agent does; nobody serves at its address."""

    def __init__(self, runtime_id: str = "triton-1") -> None:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        self.runtime_id = runtime_id
        self._body = msgspec.to_builtins(msgspec.structs.replace(a_capability(runtime_id), grpc_url=address))

    def declare(self, gateway: RunningGateway) -> None:
        status, answer = gateway.send("POST", "/api/internal/runtime/register", self._body, token=TOKEN)
        assert (status, answer["heartbeat_interval_s"]) == (200, HEARTBEAT_S)

    @contextlib.contextmanager
    def declaring(self, *gateways: RunningGateway) -> Iterator[list[float]]:
        """Declare itself to one after the other during the block; when it did (monotonic)."""
        declared: list[float] = []
        stop = threading.Event()

        def go_on() -> None:
            for gateway in itertools.cycle(gateways):
                declared.append(time.monotonic())
                self.declare(gateway)
                if stop.wait(HEARTBEAT_S):
                    return

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield declared
        finally:
            stop.set()
            thread.join()

    def say_goodbye(self, gateway: RunningGateway) -> int:
        return gateway.send("DELETE", f"/api/internal/runtime/{self.runtime_id}", token=TOKEN)[0]


def _env(redis: PrivateRedis) -> dict[str, str]:
    return {"REDIS_URL": redis.url, "RUTH_AI_HEARTBEAT_S": str(HEARTBEAT_S), "RUTH_AI_RUNTIME_TOKEN": TOKEN}


def _runtimes(gateway: RunningGateway) -> dict[str, Any]:
    return {each["capability"]["runtime_id"]: each for each in gateway.get("/api/v1/runtimes")["items"]}


@pytest.mark.slow
def test_replicas_share_runtimes_their_drains_their_expiry_and_their_goodbyes(
    redis: PrivateRedis, tmp_path: Path
) -> None:
    runtime, env = Runtime(), _env(redis)
    with running_gateway(tmp_path / "one", env=env) as one:
        with running_gateway(tmp_path / "two", env=env) as two:
            with runtime.declaring(one, two) as declared:  # as behind a load balancer
                eventually(lambda: all("triton-1" in _runtimes(each) for each in (one, two)), 2)
                eventually(lambda: len(declared) > 4, 10)
            with runtime.declaring(one) as declared:
                eventually(lambda: len(declared) > 4, 10)
                assert [list(_runtimes(each)) for each in (one, two)] == [["triton-1"]] * 2
                assert two.send("POST", "/api/v1/runtimes/triton-1/drain")[0] == 204
                eventually(lambda: _told(one, "runtime drains") == 1, 1)
            silent_s = declared[-1]
            eventually(lambda: not _runtimes(one) and not _runtimes(two), 10)
            assert 3 * HEARTBEAT_S - 0.1 <= time.monotonic() - silent_s < 3 * HEARTBEAT_S + 2
            eventually(lambda: redis.command("keys", "ruth-ai:runtime:*") == "", 1)

        with runtime.declaring(one):
            eventually(lambda: "triton-1" in _runtimes(one), 2)
            assert one.send("POST", "/api/v1/runtimes/triton-1/drain")[0] == 204
            with running_gateway(tmp_path / "two", env=env) as two:  # begins later
                eventually(lambda: "triton-1" in _runtimes(two), 2)
                eventually(lambda: _told(two, "runtime drains") == 2, 1)
                assert two.send("POST", "/api/v1/runtimes/triton-1/undrain")[0] == 204
                eventually(lambda: _told(one, "runtime takes frames again") == 1, 1)
                _check_what_is_kept(redis)
        assert runtime.say_goodbye(one) == 204
        assert _runtimes(one) == {}
        assert redis.command("keys", "*") == ""
        assert runtime.say_goodbye(one) == 404


def _check_what_is_kept(redis: PrivateRedis) -> None:
    """What the runtime declared, for three heartbeats, and not what it showed to be let in."""
    key = "ruth-ai:runtime:triton-1"
    assert 0 < int(redis.command("pttl", key)) <= 3 * HEARTBEAT_S * 1000
    kept = redis.command("get", key)
    assert set(json.loads(kept)) <= {"capability", "age_s", "drainage"}
    assert TOKEN not in kept


@contextlib.asynccontextmanager
async def _replica(url: str) -> AsyncIterator[tuple[RedisRuntimeDirectory, Registry]]:
    made, clock = Registry(), SystemClock()
    directory = RedisRuntimeDirectory(url, clock, EXPIRY_S)
    roster = Roster(made.registry, directory, lambda _: (0, 4), clock)
    task = asyncio.create_task(roster.run())
    await _until(lambda: directory.hearing_since_s is not None)
    yield directory, made
    task.cancel()
    await asyncio.wait({task})
    await made.close()


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what Redis has
            await asyncio.sleep(0.01)


async def test_a_redis_that_hangs_is_found_out_before_a_runtime_is_missed(redis: PrivateRedis) -> None:
    async with _replica(redis.url) as (directory, _):
        with redis.stopped():
            began_s = time.monotonic()
            await _until(lambda: directory.hearing_since_s is None)
            assert time.monotonic() - began_s < EXPIRY_S
        await _until(lambda: directory.hearing_since_s is not None)


async def test_sites_on_one_redis_are_kept_apart_by_its_databases(redis: PrivateRedis) -> None:
    async with (
        _replica(redis.url) as (one, _),
        _replica(redis.url) as (_, same),
        _replica(redis.url.replace("/0", "/1")) as (_, another),
    ):
        one.tell(RuntimeEntry(capability=a_capability()))
        await _until(lambda: list(same.registry))
        assert list(another.registry) == []


async def test_what_another_version_tells_is_passed_over(redis: PrivateRedis, caplog: pytest.LogCaptureFixture) -> None:
    async with _replica(redis.url) as (_, made):
        far_in_the_future = msgspec.json.encode(RuntimeEntry(capability=a_capability(), age_s=-1e9)).decode()
        heard = f'{{"type": "heard", "sender": "x", "entry": {far_in_the_future}}}'
        for message in ("not JSON", '{"type": "heard"}', '{"type": "of a later version"}', heard):
            redis.command("publish", "ruth-ai:0:runtimes", message)
        redis.command("set", "ruth-ai:runtime:broken", "{}")
        redis.command("sadd", "ruth-ai:runtime-ids", "broken", "expired")
        async with _replica(redis.url) as (other, _):
            other.tell(RuntimeEntry(capability=a_capability()))
            await _until(lambda: list(made.registry))
    assert sum("can't be read" in record.message for record in caplog.records) >= 5
    assert set(redis.command("smembers", "ruth-ai:runtime-ids").split()) == {"broken", "triton-1"}


def _told(gateway: RunningGateway, message: str) -> int:
    return [line["message"] for line in gateway.log_lines()].count(message)
