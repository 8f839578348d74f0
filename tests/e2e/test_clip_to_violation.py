"""From a model file and a clip to stored violations, all parts real."""

import contextlib
import datetime as dt
import io
import json
import subprocess
import sys
import urllib.request

import av
import cv2
import numpy as np
import pytest

from gateway.cli import main as gateway_command
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, running_triton


@pytest.fixture(scope="module")
def triton(people_repository):
    with running_triton(people_repository) as running:
        yield running


@pytest.fixture(scope="module")
def serving(people_repository, tmp_path_factory):
    """A gateway and its runtime, for tests that leave both as they found them."""
    with (
        running_gateway(tmp_path_factory.mktemp("serving")) as gateway,
        running_triton(people_repository, gateway=gateway.url),
    ):
        gateway.wait_runtimes()
        yield gateway


@contextlib.contextmanager
def a_camera(gateway, url, **settings):
    camera = gateway.add_camera(url, "people", **settings)
    try:
        yield camera
    finally:
        gateway.send("DELETE", f"/api/v1/cameras/{camera}")


def violations(gateway, camera):
    return gateway.get(f"/api/v1/violations?camera_id={camera}")["items"]


def replay(triton, clip, *options):
    command = [sys.executable, "-m", "gateway", "replay", "--video", str(clip), "--model", "people"]
    command += ["--triton", triton.grpc_url, "--json", *options]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def report(triton, data_dir):
    return replay(triton, data_dir / "video" / "people_one_by_one_50s.mp4")


def test_a_replay_finds_the_two_visitors_and_drops_nothing(report):
    found = json.loads(report)
    assert found["frames_decoded"] == found["frames_inferred"] == len(found["detections"]) == 500
    times = [(v["started_at_s"], v["ended_at_s"]) for v in found["violations"]]
    assert len(times) == 2
    assert times[0] == pytest.approx((6, 20), abs=1.5)
    assert times[1] == pytest.approx((23, 45), abs=1.5)
    assert {v["type"] for v in found["violations"]} == {"zone_presence"}


@pytest.fixture(scope="module")
def seldom(triton, data_dir):
    return replay(triton, data_dir / "video" / "people_one_by_one_50s.mp4", "--fps", "2")


def test_a_replay_is_the_same_to_the_byte_each_time(seldom, triton, data_dir):
    assert replay(triton, data_dir / "video" / "people_one_by_one_50s.mp4", "--fps", "2") == seldom


def test_a_replay_at_a_lower_rate_looks_at_fewer_frames(seldom):
    found = json.loads(seldom)
    assert found["frames_decoded"] == 500
    assert found["frames_inferred"] in (100, 101)
    assert len(found["violations"]) == 2


def test_a_replay_judges_by_the_rules_it_is_given(triton, data_dir, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "long stay"\n[rules.definition]\ntype = "zone_presence"\nmin_duration_s = 15\n')
    found = json.loads(
        replay(triton, data_dir / "video" / "people_one_by_one_50s.mp4", "--rules", str(rules), "--fps", "5")
    )
    assert [v["rule"] for v in found["violations"]] == ["long stay"]


def test_a_replay_with_a_model_that_is_not_loaded_says_so(triton, data_dir, capsys):
    clip = data_dir / "video" / "fall_from_chair_s1.mp4"
    status = gateway_command(["replay", "--video", str(clip), "--model", "ghosts", "--triton", triton.grpc_url])
    assert status == 1
    assert "ghosts isn't loaded" in capsys.readouterr().err


def test_a_rule_for_something_the_model_does_not_know_is_refused_with_what_it_knows(triton, data_dir, tmp_path, capsys):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rules]]\nname = "typo"\n[rules.definition]\ntype = "zone_presence"\nlabels = ["persn"]\n')
    clip = str(data_dir / "video" / "fall_from_chair_s1.mp4")
    command = ["replay", "--video", clip, "--model", "people", "--triton", triton.grpc_url, "--rules", str(rules)]
    assert gateway_command(command) == 1
    said = capsys.readouterr().err
    assert "persn" in said
    assert "person, bicycle" in said


def test_a_camera_leads_to_a_violation_with_a_picture_that_opens(serving, data_dir):
    gateway, clip = serving, data_dir / "video" / "people_one_by_one_50s.mp4"
    with a_camera(gateway, f"file://{clip}?pace=max", fps=5) as camera:
        eventually(lambda: violations(gateway, camera), 60)
        violation = violations(gateway, camera)[-1]
        picture = gateway.fetch(f"/api/v1/violations/{violation['id']}/evidence.jpg")
        health = gateway.get("/api/v1/health")
        address = f"/api/v1/violations/{violation['id']}"
        eventually(lambda: gateway.get(address)["clip"]["name"], 30)
        film = gateway.fetch(f"{address}/clip.mp4")
        audited = [entry["action"] for entry in gateway.get(f"{address}/audit")["items"]]

    assert violation["label"] == "person"
    assert violation["model"] == "people"
    assert violation["model_sha256"]
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (432, 768, 3)
    with av.open(io.BytesIO(film)) as shown:
        assert len(list(shown.decode(video=0))) >= 50, "5 s at 10 pictures a second before and after"
    assert audited == ["created"]
    assert health["status"] == "healthy"
    assert set(health["components"]["ai_runtime"]["transport"].values()) == {"system_shared_memory"}


def test_what_was_recorded_is_found_again_in_its_own_clip(serving, triton, data_dir, tmp_path):
    clip, film, recorded, rules = (data_dir / "video" / "people_one_by_one_50s.mp4", *map(tmp_path.joinpath, "abc"))
    rules.write_text('[[rules]]\nname = "presence"\n[rules.definition]\ntype = "zone_presence"\n')
    with a_camera(serving, f"file://{clip}", fps=5) as camera:
        eventually(lambda: any(each["clip"]["name"] for each in violations(serving, camera)), 60)
        violation = violations(serving, camera)[-1]
        film.write_bytes(serving.fetch(f"/api/v1/violations/{violation['id']}/clip.mp4"))
        recorded.write_text(json.dumps(serving.get(f"/api/v1/violations?camera_id={camera}")))
    found = json.loads(replay(triton, film, "--rules", str(rules), "--recorded", str(recorded), "--fps", "5"))
    started_at = dt.datetime.fromisoformat(found["clip_started_at"])
    began_s = (dt.datetime.fromisoformat(violation["started_at"]) - started_at).total_seconds()
    assert found["violations"][0]["started_at_s"] == pytest.approx(began_s, abs=0.3)
    assert found["diff"] == {"same": 1, "moved": [], "gone": [], "new": []}


def test_a_runtime_without_shared_memory_is_served_inline(people_repository, tmp_path):
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(people_repository) as triton,
    ):
        gateway.post("/api/internal/runtime/register", declaration(triton, shared_memory=False))
        camera = gateway.add_camera("demo:?people=2&seed=1", "people")
        eventually(lambda: gateway.status(camera)["frames_inferred"] > 3, 30)
        runtime = gateway.get("/api/v1/runtimes")["items"][0]
        assert runtime["transport"] == "inline"
        assert "shared memory" in runtime["transport_reason"]


def test_a_runtime_that_misses_its_heartbeats_is_out_and_its_cameras_say_so(people_repository, tmp_path):
    with (
        running_gateway(tmp_path / "gateway", env={"RUTH_AI_HEARTBEAT_S": "0.5"}) as gateway,
        running_triton(people_repository) as triton,
    ):
        gateway.post("/api/internal/runtime/register", declaration(triton, shared_memory=False))
        camera = gateway.add_camera("demo:?people=2&seed=1", "people")
        eventually(lambda: not gateway.get("/api/v1/runtimes")["items"], 20)
        assert gateway.status(camera)["granted_fps"] == 0
        assert "no runtime" in gateway.status(camera)["reason"]
        assert gateway.send("GET", "/api/v1/health/ready")[0] == 503


def declaration(triton, *, shared_memory):
    return {
        "runtime_id": "by-hand",
        "hardware_type": "cpu",
        "supports_gpu": False,
        "max_fps": 30,
        "max_concurrent_streams": 5,
        "inference_batch_size": 1,
        "version": "1",
        "grpc_url": triton.grpc_url,
        "shared_memory": shared_memory,
        "supported_models": [{"model_id": "people", "version": "1", "loaded": True}],
    }


def test_events_tell_of_a_violation_once_it_is_on_record(serving):
    with (
        urllib.request.urlopen(f"{serving.url}/api/v1/events", timeout=60) as stream,
        a_camera(serving, "demo:?people=4&seed=1") as camera,
    ):
        events = (json.loads(line[5:]) for line in stream if line.startswith(b"data:"))
        event = next(e for e in events if e["type"] == "violation.opened" and e["camera_id"] == camera)
        stored = serving.get(f"/api/v1/violations/{event['payload']['id']}")
        assert stored["camera_id"] == camera


def test_a_model_that_is_unloaded_and_loaded_again_gets_frames_through_shared_memory_again(serving):
    gateway = serving
    with a_camera(gateway, "demo:?people=2&seed=1") as camera:
        eventually(lambda: gateway.status(camera)["frames_inferred"] > 3, 30)
        assert gateway.send("POST", "/api/v1/models/people/unload")[0] < 300
        eventually(lambda: gateway.status(camera)["granted_fps"] == 0, 10)
        eventually(lambda: gateway.get("/api/v1/health")["status"] == "degraded", 10)
        assert gateway.send("POST", "/api/v1/models/people/load")[0] < 300
        before = gateway.status(camera)["frames_inferred"]
        eventually(lambda: gateway.status(camera)["frames_inferred"] > before + 3, 10)
        assert gateway.get("/api/v1/runtimes")["items"][0]["transport"] == "system_shared_memory"


def test_a_clip_that_is_over_frees_its_share_of_the_runtime(serving, data_dir):
    gateway, clip = serving, data_dir / "video" / "nofall_sitting_on_bed_s2.mp4"
    with a_camera(gateway, f"file://{clip}?pace=max") as camera:
        eventually(lambda: gateway.status(camera)["state"] == "ended" and not gateway.status(camera)["granted_fps"], 30)
        status = gateway.status(camera)
        assert (status["wanted_fps"], status["granted_fps"]) == (5, 0)
        assert "replaced" not in status["frames_dropped"], "nothing is decoded before there is room for it"
        eventually(lambda: all(v["ended_at"] for v in violations(gateway, camera)), 10)
