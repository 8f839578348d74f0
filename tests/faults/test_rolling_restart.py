"""A runtime is taken out, and another restarted, while cameras run: no frame is lost."""

import pytest
from triton_agent.rest import call

from tests.support.contract_models import publish_blind
from tests.support.redis_server import private_redis
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, running_triton

CAMERAS = 4
LOST = {"unavailable", "rejected", "timeout", "no_runtime"}


@pytest.fixture
def models(tmp_path):
    publish_blind(tmp_path / "models", "people")
    return tmp_path / "models"


@pytest.mark.slow
def test_a_rolling_restart_of_two_runtimes_loses_no_frame(models, tmp_path):
    with running_gateway(tmp_path / "gateway") as gateway, running_triton(models, gateway=gateway.url):
        eventually(lambda: states(gateway) == ["ready"], 20)
        cameras = [gateway.add_camera(f"demo:?seed={seed}&size=320x240", "people") for seed in range(CAMERAS)]
        for _ in range(2):
            with running_triton(models, gateway=gateway.url):
                eventually(lambda: states(gateway) == ["ready", "ready"], 20)
                judged_again(gateway, cameras)
            assert states(gateway) == ["ready"], "it said goodbye before it ended"
            judged_again(gateway, cameras)
        for camera in cameras:
            assert not LOST & gateway.status(camera)["frames_dropped"].keys()


@pytest.mark.slow
def test_a_rolling_restart_loses_no_frame_of_a_replica_that_the_runtimes_do_not_talk_to(models, tmp_path):
    with private_redis() as redis:
        env = {"REDIS_URL": redis.url}
        with (
            running_gateway(tmp_path / "one", env=env) as one,
            running_gateway(tmp_path / "two", env=env) as two,
            running_triton(models, gateway=one.url),
        ):
            eventually(lambda: states(two) == ["ready"], 20)
            cameras = [two.add_camera(f"demo:?seed={seed}&size=320x240", "people") for seed in range(CAMERAS)]
            for _ in range(2):
                with running_triton(models, gateway=one.url):
                    eventually(lambda: states(two) == ["ready", "ready"], 20)
                    judged_again(two, cameras)
                assert states(two) == ["ready"], "it knew of the goodbye before the runtime ended"
                judged_again(two, cameras)
            for camera in cameras:
                assert not LOST & two.status(camera)["frames_dropped"].keys()


@pytest.mark.slow
def test_a_drained_runtime_gets_no_frames_until_it_is_undrained(models, tmp_path):
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(models, gateway=gateway.url, env={"RUTH_AI_RUNTIME_ID": "first"}) as first,
        running_triton(models, gateway=gateway.url, env={"RUTH_AI_RUNTIME_ID": "second"}),
    ):
        cameras = [gateway.add_camera(f"demo:?seed={seed}&size=320x240", "people") for seed in range(CAMERAS)]
        eventually(lambda: states(gateway) == ["ready", "ready"], 20)
        assert gateway.send("POST", "/api/v1/runtimes/first/drain")[0] == 204
        assert sorted(states(gateway)) == ["draining", "ready"]
        eventually(lambda: gateway.get("/api/v1/runtimes")["items"][0]["in_flight"] == 0, 5)
        before = inferences(first)
        judged_again(gateway, cameras)
        assert inferences(first) == before
        assert gateway.get("/api/v1/health")["status"] == "healthy"
        assert gateway.send("POST", "/api/v1/runtimes/first/undrain")[0] == 204
        assert gateway.send("POST", "/api/v1/runtimes/third/drain")[0] == 404
        assert states(gateway) == ["ready", "ready"]
        assert gateway.send("POST", "/api/v1/runtimes/second/drain")[0] == 204
        judged_again(gateway, cameras)
        assert inferences(first) > before


def states(gateway):
    """State of every runtime."""
    return [runtime["state"] for runtime in gateway.get("/api/v1/runtimes")["items"]]


def judged_again(gateway, cameras):
    """Wait until every camera has had several verdicts more."""
    before = {camera: gateway.status(camera)["frames_inferred"] for camera in cameras}
    eventually(lambda: all(gateway.status(c)["frames_inferred"] >= before[c] + 5 for c in cameras), 30)


def inferences(triton):
    """How many frames Triton has inferred."""
    return call("GET", f"{triton.http_url}/v2/models/people/stats").body["model_stats"][0]["inference_count"]
