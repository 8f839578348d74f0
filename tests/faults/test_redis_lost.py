"""Redis is killed and wiped while two replicas share a runtime."""

import time
from pathlib import Path

import pytest

from tests.support.contract_models import publish_blind
from tests.support.redis_server import private_redis
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import eventually, running_triton

HEARTBEAT_S = 0.5
OUTAGE_S = 3.0  # more than the three heartbeats after which a runtime is out


@pytest.mark.slow
def test_replicas_go_on_with_what_they_know_and_a_wiped_redis_knows_it_again_in_a_heartbeat(tmp_path: Path) -> None:
    publish_blind(tmp_path / "models", "people")
    with private_redis() as redis:
        env = {"REDIS_URL": redis.url, "RUTH_AI_HEARTBEAT_S": str(HEARTBEAT_S)}
        with (
            running_gateway(tmp_path / "one", env=env) as one,
            running_gateway(tmp_path / "two", env=env) as two,
            running_triton(tmp_path / "models", gateway=one.url),
        ):
            camera = two.add_camera("demo:?seed=1&size=320x240", "people")
            eventually(lambda: two.status(camera)["frames_inferred"] > 3, 20)
            (runtime_id,) = _states(two)

            redis.kill()
            eventually(lambda: two.get("/api/v1/health")["components"]["redis"]["status"] == "unhealthy", 5)
            before, dropped = two.status(camera)["frames_inferred"], _without_runtime(two, camera)
            time.sleep(OUTAGE_S)
            assert [_states(each) for each in (one, two)] == [{runtime_id: "ready"}] * 2
            assert two.status(camera)["frames_inferred"] > before + OUTAGE_S
            assert _without_runtime(two, camera) == dropped

            redis.start()
            began_s = time.monotonic()
            key = f"ruth-ai:runtime:{runtime_id}"
            eventually(lambda: redis.command("exists", key) == "1", 2 * HEARTBEAT_S)
            rebuilt_s = time.monotonic() - began_s
            print(f"known again {rebuilt_s:.2f} s after Redis was back")
            assert rebuilt_s <= HEARTBEAT_S + 0.5  # and what a look costs
            time.sleep(4 * HEARTBEAT_S)
            assert [_states(each) for each in (one, two)] == [{runtime_id: "ready"}] * 2
        _gone_from(two)


def _states(gateway: RunningGateway) -> dict[str, str]:
    return {each["capability"]["runtime_id"]: each["state"] for each in gateway.get("/api/v1/runtimes")["items"]}


def _without_runtime(gateway: RunningGateway, camera: str) -> int:
    return int(gateway.status(camera)["frames_dropped"].get("no_runtime", 0))


def _gone_from(gateway: RunningGateway) -> None:
    """The runtime's goodbye to the one replica was known to the other."""
    gone = [line for line in gateway.log_lines() if line["message"] == "runtime gone"]
    assert [line["reason"] for line in gone] == ["it said goodbye"]
