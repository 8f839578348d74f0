"""Cameras over several runtimes: frames go by what was declared, no limit is exceeded, and who is lost is replaced."""

import contextlib
import datetime as dt
import os
import signal
import time
from collections import Counter

import pytest

from tests.support.contract_models import publish_blind
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, running_triton

pytestmark = pytest.mark.slow

BY_HAND = {"RUTH_AI_HEARTBEAT_S": "60"}
"""Runtimes are declared once, by the test."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    publish_blind(folder, "people")
    return folder


@pytest.fixture(scope="module")
def triton(models):
    with running_triton(models) as running:
        yield running


def declare(gateway, triton, runtime_id, hardware_type, max_fps=100, batch_size=4, streams=100):
    """Declare a Triton as some kind of hardware; seconds (monotonic) just before it could get a frame."""
    before_s = time.monotonic()
    body = {
        "runtime_id": runtime_id,
        "hardware_type": hardware_type,
        "max_fps": max_fps,
        "max_concurrent_streams": streams,
        "inference_batch_size": batch_size,
        "version": "1",
        "grpc_url": triton.grpc_url,
        "supported_models": [{"model_id": "people", "version": "1", "loaded": True}],
    }
    assert gateway.send("POST", "/api/internal/runtime/register", body)[0] == 200
    eventually(lambda: runtime_of(gateway, runtime_id)["state"] == "ready", 20)
    return before_s


def runtime_of(gateway, runtime_id):
    return next(
        each for each in gateway.get("/api/v1/runtimes")["items"] if each["capability"]["runtime_id"] == runtime_id
    )


def statuses(gateway):
    """Status by camera id."""
    return {camera["id"]: camera["status"] for camera in gateway.get("/api/v1/cameras")["items"]}


def seats(gateway):
    return Counter(status["runtime_id"] for status in statuses(gateway).values())


def granted(gateway, cameras):
    return [gateway.status(camera)["granted_fps"] for camera in cameras]


def add_cameras(gateway, count, fps, source_fps=20, **settings):
    """Rendered streets of which `fps` is wanted."""
    return [
        gateway.post(
            "/api/v1/cameras",
            {
                "name": f"street {i}",
                "url": f"demo:?seed={i}&size=320x180&fps={source_fps}",
                "model": "people",
                "fps": fps,
                **settings,
            },
        )["id"]
        for i in range(count)
    ]


@pytest.mark.parametrize(("hardware_type", "fps", "camera_fps"), [("cpu", 30, 5), ("jetson", 50, 50), ("gpu", 12, 12)])
def test_the_adaptation_table_holds_to_the_frame(triton, tmp_path, hardware_type, fps, camera_fps):
    with running_gateway(tmp_path / "gateway", env=BY_HAND) as gateway:
        since_s = declare(gateway, triton, "it", hardware_type, max_fps=12 if hardware_type == "gpu" else 500)
        limits = runtime_of(gateway, "it")["limits"]
        cameras = add_cameras(gateway, 9, fps=20)
        eventually(lambda: granted(gateway, cameras) == pytest.approx([min(camera_fps, fps / 9)] * 9, abs=1e-3), 5)
        for _ in range(8):
            time.sleep(1)
            inferred = [status["frames_inferred"] for status in statuses(gateway).values()]
            seconds = time.monotonic() - since_s
            assert sum(inferred) <= fps * seconds + limits["batch_size"]
            assert max(inferred) <= camera_fps * seconds + 1
        eventually(lambda: min(s["frames_inferred"] for s in statuses(gateway).values()) >= fps / 9 * 4, 30)


def test_a_camera_alone_gets_no_more_of_a_cpu_than_one_camera_may(triton, tmp_path):
    with running_gateway(tmp_path / "gateway", env=BY_HAND) as gateway:
        declare(gateway, triton, "it", "cpu", max_fps=500)
        since_s = time.monotonic()
        (camera,) = add_cameras(gateway, 1, fps=20)
        eventually(lambda: gateway.status(camera)["granted_fps"] == 5, 10)
        assert gateway.status(camera)["reason"] == "runtime it takes at most 5 fps of one camera"
        eventually(lambda: gateway.status(camera)["frames_inferred"] >= 20, 30)
        assert gateway.status(camera)["frames_inferred"] <= 5 * (time.monotonic() - since_s) + 2


def test_frames_go_by_declared_hardware_and_priority(triton, tmp_path):
    with running_gateway(tmp_path / "gateway", env=BY_HAND) as gateway:
        declare(gateway, triton, "slow", "cpu")
        declare(gateway, triton, "fast", "gpu", max_fps=90)
        busy = add_cameras(gateway, 6, fps=15, source_fps=1)
        eventually(lambda: seats(gateway) == {"fast": 6}, 5)  # as a cpu gives no camera more than 5
        quiet = add_cameras(gateway, 4, fps=5, source_fps=1)
        eventually(lambda: {gateway.status(camera)["runtime_id"] for camera in quiet} == {"slow"}, 5)
        (important,) = add_cameras(gateway, 1, fps=20, source_fps=1, priority=10)
        eventually(lambda: granted(gateway, [important, *busy]) == pytest.approx([20, *[70 / 6] * 6], abs=1e-3), 5)
        assert "shared among its cameras" in gateway.status(busy[0])["reason"]


def test_a_killed_runtimes_cameras_are_elsewhere_within_two_seconds(models, triton, tmp_path):
    with running_gateway(tmp_path / "gateway", env=BY_HAND) as gateway, running_triton(models) as doomed:
        declare(gateway, triton, "cpu", "cpu")
        declare(gateway, doomed, "gpu", "gpu")
        cameras = add_cameras(gateway, 8, fps=10)
        eventually(lambda: seats(gateway)["gpu"] > 0, 60)
        eventually(lambda: all(s["frames_inferred"] > 5 for s in statuses(gateway).values()), 30)

        for pid in (doomed.pid, doomed.server_pid()):
            os.kill(pid, signal.SIGKILL)
        killed_s = time.monotonic()
        eventually(lambda: seats(gateway) == {"cpu": 8}, 2)
        assert time.monotonic() - killed_s < 2
        before = statuses(gateway)
        assert sum(status["granted_fps"] for status in before.values()) == pytest.approx(30, abs=0.01)
        eventually(
            lambda: all(gateway.status(c)["frames_inferred"] > before[c]["frames_inferred"] + 2 for c in cameras),
            30,
        )
        with contextlib.suppress(ProcessLookupError):
            doomed.process.kill()
        eventually(lambda: moved_to(gateway, "cpu") == {*cameras}, 20)


def test_cameras_come_and_go_while_fifteen_others_miss_no_frame(triton, tmp_path):
    with running_gateway(tmp_path / "gateway", env=BY_HAND) as gateway:
        declare(gateway, triton, "it", "cpu")
        others = [
            gateway.post(
                "/api/v1/cameras",
                {"name": f"steady {i}", "url": f"demo:?seed={i}&size=320x180&fps=1", "model": "people", "fps": 2},
            )["id"]
            for i in range(15)
        ]
        eventually(lambda: all(s["frames_inferred"] >= 1 for s in statuses(gateway).values()), 30)
        before = statuses(gateway)
        for i in range(4):
            (camera,) = add_cameras(gateway, 1, fps=1)
            settings = {"name": "other", "url": f"demo:?seed={i}&size=320x180", "model": "people", "fps": 2}
            assert gateway.send("PUT", f"/api/v1/cameras/{camera}", settings)[0] == 200
            time.sleep(1)
            assert gateway.send("DELETE", f"/api/v1/cameras/{camera}")[0] == 204
        eventually(lambda: all(gateway.status(c)["frames_inferred"] > before[c]["frames_inferred"] for c in others), 30)
        after = statuses(gateway)
        for camera in others:
            seconds = at(after[camera]) - at(before[camera])
            assert after[camera]["frames_inferred"] - before[camera]["frames_inferred"] == round(seconds)
            assert after[camera]["frames_dropped"] == {}


def at(status):
    return dt.datetime.fromisoformat(status["last_frame_at"]).timestamp()


def moved_to(gateway, runtime_id):
    """Cameras of which an event, and so the log, has told that they are on a runtime."""
    lines = [line for line in gateway.log_lines() if line["message"].startswith("rate granted")]
    return {line["camera_id"] for line in lines if line["runtime_id"] == runtime_id}
