"""kill -9 of tritonserver while cameras run."""

import os
import signal
import time
from pathlib import Path

from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, running_triton

KILLS = 2
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
