"""A gateway that is killed while a clip is being recorded says at its next start that the clip was lost."""

import signal
from pathlib import Path
from typing import Any

from gateway.pipeline.clips import LOST
from tests.support.clips import write_clip
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_model import LABELS, publish_scripted
from tests.support.triton_server import eventually, free_ports, running_triton

MODEL = "scripted"
GREY_OF_FIRST_LABEL = 5  # full range; 20 in limited range


def the_violation(gateway: RunningGateway) -> Any:
    found = gateway.get("/api/v1/violations")["items"]
    return found[0] if found else None


def test_a_clip_that_a_kill_interrupted_is_said_to_be_lost(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "grey.mp4", frames=600, grey=GREY_OF_FIRST_LABEL)
    publish_scripted(tmp_path / "models", MODEL)
    port = free_ports(1)[0]
    with running_triton(tmp_path / "models", gateway=f"http://127.0.0.1:{port}"):
        with running_gateway(tmp_path / "gateway", port=port) as gateway:
            camera = {"name": "gate", "url": f"file://{film}", "model": MODEL, "fps": 5, "clip_after_s": 30}
            rule = {"name": "seen", "definition": {"type": "zone_presence", "labels": LABELS[:1], "min_duration_s": 0}}
            camera_id = gateway.post("/api/v1/cameras", camera)["id"]
            gateway.post(f"/api/v1/cameras/{camera_id}/rules", rule)
            eventually(lambda: the_violation(gateway), 20)
            awaited = the_violation(gateway)
            gateway.stop(signal.SIGKILL)

        with running_gateway(tmp_path / "gateway", port=port) as gateway:
            eventually(lambda: the_violation(gateway)["clip"]["missing_reason"] == LOST, 20)
            told = gateway.get(f"/api/v1/violations/{awaited['id']}")

    assert awaited["clip"]["missing_reason"].startswith("being recorded until ")
    assert told["clip"] == {"name": "", "sha256": "", "missing_reason": LOST}
