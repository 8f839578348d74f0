"""The evidence's bucket is away while violations come, and the gateway is killed: nothing of the evidence is lost."""

import hashlib
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import write_clip
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.s3_server import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, PrivateS3
from tests.support.scripted_model import LABELS, publish_scripted
from tests.support.triton_server import eventually, free_ports, running_triton

MODEL = "scripted"
GREY_OF_FIRST_LABEL = 5  # full range; 20 in limited range


def a_violation_with_its_clip(gateway: RunningGateway) -> Any:
    found = [each for each in gateway.get("/api/v1/violations")["items"] if each["clip"]["name"]]
    return found[0] if found else None


def picture(gateway: RunningGateway, violation_id: str) -> bytes:
    return gateway.fetch(f"/api/v1/violations/{violation_id}/evidence.jpg")


def part_of_clip(gateway: RunningGateway, violation_id: str, wanted: str) -> tuple[int, str, bytes]:
    request = urllib.request.Request(
        f"{gateway.url}/api/v1/violations/{violation_id}/clip.mp4", headers={"Range": wanted}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.headers["Content-Range"], answer.read()


@pytest.mark.slow
def test_evidence_outlives_a_bucket_that_is_away_and_a_kill(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "grey.mp4", frames=100, grey=GREY_OF_FIRST_LABEL, codec="libx264", options={"g": "10"})
    publish_scripted(tmp_path / "models", MODEL)
    port, s3 = free_ports(1)[0], PrivateS3()
    env = {
        "RUTH_AI_EVIDENCE_URL": f"s3://{BUCKET}/site",
        "RUTH_AI_EVIDENCE_ENDPOINT": s3.endpoint,
        "RUTH_AI_EVIDENCE_REGION": REGION,
        "RUTH_AI_EVIDENCE_ACCESS_KEY": ACCESS_KEY,
        "RUTH_AI_EVIDENCE_SECRET_KEY": SECRET_KEY,
    }
    with running_triton(tmp_path / "models", gateway=f"http://127.0.0.1:{port}"):
        with running_gateway(tmp_path / "gateway", port=port, env=env) as gateway:
            times = {"clip_before_s": 1, "clip_after_s": 1}
            camera = {"name": "gate", "url": f"file://{film}", "model": MODEL, "fps": 5, **times}
            rule = {"name": "seen", "definition": {"type": "zone_presence", "labels": LABELS[:1], "min_duration_s": 0}}
            camera_id = gateway.post("/api/v1/cameras", camera)["id"]
            gateway.post(f"/api/v1/cameras/{camera_id}/rules", rule)
            eventually(lambda: a_violation_with_its_clip(gateway), 30)
            violation = a_violation_with_its_clip(gateway)
            eventually(lambda: gateway.get("/api/v1/health")["status"] == "degraded", 30)
            away = gateway.get("/api/v1/health")
            ready = gateway.get("/api/v1/health/ready")
            seen = picture(gateway, violation["id"])
            gateway.stop(signal.SIGKILL)

        s3.start()
        try:
            with running_gateway(tmp_path / "gateway", port=port, env=env) as gateway:
                staged = tmp_path / "gateway" / "evidence-staged"
                eventually(lambda: not any(files for _, _, files in os.walk(staged)), 30)
                names = {violation[kind]["name"] for kind in ("evidence", "clean_evidence", "clip")}
                stored = s3.stored()
                after = picture(gateway, violation["id"])
                whole = gateway.fetch(f"/api/v1/violations/{violation['id']}/clip.mp4")
                part = part_of_clip(gateway, violation["id"], "bytes=100-199")
                eventually(lambda: gateway.get("/api/v1/health")["components"]["evidence"]["status"] == "healthy", 10)
                log = gateway.log.read_text()
        finally:
            s3.stop()

    assert "wait on disk: the bucket evidence can't be used" in away["components"]["evidence"]["error"]
    assert ready["ready"]
    assert {f"site/{name}" for name in names} <= stored
    assert after == seen
    assert hashlib.sha256(seen).hexdigest() == violation["evidence"]["sha256"]
    assert hashlib.sha256(whole).hexdigest() == violation["clip"]["sha256"]
    assert part == (206, f"bytes 100-199/{len(whole)}", whole[100:200])
    assert SECRET_KEY not in log
