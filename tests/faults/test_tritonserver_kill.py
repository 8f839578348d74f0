"""kill -9 of tritonserver while cameras run."""

import math
import os
import signal
import statistics
import time
from pathlib import Path

import pytest

from tests.support.fault_scale import SCALE
from tests.support.running_gateway import running_gateway
from tests.support.scripted_gateway import MODEL
from tests.support.scripted_model import publish_scripted
from tests.support.triton_server import eventually, running_triton

KILLS = 2
MANY_KILLS = round(50 * SCALE)
INSTANCES = 2  # of the published model: one region of the Python backend each
RECOVERY_S = 20.0  # the goal is 5 s on an idle machine; the figure is printed, and kept in docs/benchmarks.md


def test_frames_flow_again_and_nothing_is_left_behind(people_repository, data_dir, tmp_path, capsys):
    clip = data_dir / "video" / "people_one_by_one_50s.mp4"
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(people_repository, gateway=gateway.url) as triton,
    ):
        cameras = [
            gateway.add_camera(f"file://{clip}?loop=1", "people"),
            gateway.add_camera("demo:?people=2&seed=1", "people"),
        ]
        eventually(lambda: all(gateway.status(c)["frames_inferred"] > 5 for c in cameras), 60)
        for _ in range(KILLS):
            statuses, recovery_s = kill_and_wait(gateway, triton, cameras)
            with capsys.disabled():
                print(f"\nkill -9 of tritonserver: frames of every camera again after {recovery_s:.2f} s")
            assert "degraded" in statuses
            eventually(lambda: gateway.get("/api/v1/health")["status"] == "healthy", 10)
            assert gateway.get("/api/v1/runtimes")["items"][0]["transport"] == "system_shared_memory"
        assert len(regions(f"ruth_ai_gateway_{gateway.process.pid}_")) == 1, (
            "one region a connection, the old ones gone"
        )
        assert len(regions(triton.prefix)) == INSTANCES
    assert not regions(f"ruth_ai_gateway_{gateway.process.pid}_")
    assert not regions(triton.prefix)


def regions(prefix):
    """Names in shared memory that begin so."""
    return {path.name for path in Path("/dev/shm").glob(f"{prefix}*")}


def kill_and_wait(gateway, triton, cameras):
    """Kill the server; the health statuses seen until frames of every camera came back, and when that was."""
    killed_s = time.monotonic()
    os.kill(triton.server_pid(), signal.SIGKILL)
    statuses = set()

    def degraded():
        statuses.add(gateway.get("/api/v1/health")["status"])
        return "degraded" in statuses

    eventually(degraded, 10)
    before = {c: gateway.status(c)["frames_inferred"] for c in cameras}
    eventually(lambda: all(gateway.status(c)["frames_inferred"] > before[c] for c in cameras), RECOVERY_S)
    return statuses, time.monotonic() - killed_s


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_cameras_have_results_again_soon_after_each_of_many_kills(tmp_path, capsys):
    publish_scripted(tmp_path / "models", MODEL)
    recoveries_s = []
    with running_gateway(tmp_path / "gateway") as gateway:
        cameras = [gateway.add_camera(f"demo:?people=2&seed={seed}", MODEL) for seed in range(8)]
        while len(recoveries_s) < MANY_KILLS:
            recoveries_s += recoveries_of_an_agent(tmp_path / "models", gateway, cameras)
    recoveries_s.sort()
    p99_s = recoveries_s[math.ceil(0.99 * len(recoveries_s)) - 1]
    with capsys.disabled():
        print(
            f"\n{MANY_KILLS} kills of tritonserver under 8 cameras: first result after "
            f"{statistics.median(recoveries_s):.2f} s (median), {p99_s:.2f} s (p99)"
        )
    assert p99_s <= RECOVERY_S
    assert not regions(f"ruth_ai_gateway_{gateway.process.pid}_")


def recoveries_of_an_agent(repository, gateway, cameras):
    """Seconds to the first result after each of two kills: after more of them its agent would wait on purpose."""
    with running_triton(repository, gateway=gateway.url) as triton:
        before = inferred(gateway, cameras)
        eventually(lambda: all_advanced(gateway, cameras, before), 60)
        processes = len(triton.processes())
        recoveries_s = [first_result_after_kill(gateway, triton, cameras) for _ in range(2)]
        eventually(lambda: len(triton.processes()) == processes, 10)
        eventually(lambda: len(regions(f"ruth_ai_gateway_{gateway.process.pid}_")) == 1, 10)
    assert not regions(triton.prefix)
    return recoveries_s


def first_result_after_kill(gateway, triton, cameras):
    """Kill the server; seconds until a camera had a result of its successor. Returns when all have one."""
    killed = triton.server_pid()
    os.kill(killed, signal.SIGKILL)
    killed_s = time.monotonic()
    time.sleep(0.2)  # what it had answered already is counted by then
    before = inferred(gateway, cameras)
    eventually(lambda: sum(inferred(gateway, cameras).values()) > sum(before.values()), RECOVERY_S)
    recovery_s = time.monotonic() - killed_s
    eventually(lambda: all_advanced(gateway, cameras, before), RECOVERY_S)
    assert triton.server_pid() != killed
    return recovery_s


def inferred(gateway, cameras):
    """Frames inferred so far, by camera."""
    shown = {each["id"]: each["status"]["frames_inferred"] for each in gateway.get("/api/v1/cameras")["items"]}
    return {camera: shown[camera] for camera in cameras}


def all_advanced(gateway, cameras, before):
    """Whether every camera has had a result since."""
    now = inferred(gateway, cameras)
    return all(now[camera] > before[camera] for camera in cameras)
