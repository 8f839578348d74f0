"""A server dies with frames on their way to it, while another one serves the same model."""

import os
import signal

from tests.support.contract_models import publish_blind
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, freeze, running_triton


def test_frames_on_their_way_to_a_killed_server_are_answered_by_another(tmp_path):
    publish_blind(tmp_path / "models", "people")
    env = {"RUTH_AI_RUNTIME_ID": "first"}
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url, env=env) as first,
        running_triton(tmp_path / "models", gateway=gateway.url, env={"RUTH_AI_RUNTIME_ID": "second"}),
    ):
        eventually(lambda: [r["state"] for r in gateway.get("/api/v1/runtimes")["items"]] == ["ready", "ready"], 20)
        cameras = [gateway.add_camera(f"demo:?seed={seed}&size=320x240", "people") for seed in range(4)]
        eventually(lambda: all(gateway.status(c)["frames_inferred"] > 3 for c in cameras), 30)
        on_first = [c for c in cameras if gateway.status(c)["runtime_id"] == "first"]
        assert on_first, "cameras are spread over both"
        server = first.server_pid()
        freeze(server)
        eventually(lambda: flying(gateway) > 0, 5)
        os.kill(server, signal.SIGKILL)
        eventually(lambda: "ruth_ai_inference_retries_total" in gateway.fetch("/metrics").decode(), 10)
        before = {c: gateway.status(c)["frames_inferred"] for c in cameras}
        eventually(lambda: all(gateway.status(c)["frames_inferred"] > before[c] + 3 for c in cameras), 30)
        assert not [c for c in cameras if "unavailable" in gateway.status(c)["frames_dropped"]]


def flying(gateway):
    """Frames on their way to the first runtime."""
    return next(
        r["in_flight"] for r in gateway.get("/api/v1/runtimes")["items"] if r["capability"]["runtime_id"] == "first"
    )
