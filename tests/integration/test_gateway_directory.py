"""Two gateways on one Redis: a runtime that declares itself to either is known to both."""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.api_app import a_capability
from tests.support.redis_server import PrivateRedis, private_redis
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import eventually, free_ports

HEARTBEAT_S = 0.5
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


def _told(gateway: RunningGateway, message: str) -> int:
    return [line["message"] for line in gateway.log_lines()].count(message)
