"""Runtimes that hang, and models that fail, while cameras run."""

import contextlib
import os
import signal
import time

import pytest

from tests.support.contract_models import publish_blind, publish_failing
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, freeze, running_triton

HANG_S = 3.0  # longer than a frame's time-out on a CPU


@pytest.mark.slow
def test_a_hanging_server_gets_no_frames_until_a_try_is_answered(tmp_path):
    publish_blind(tmp_path / "models", "people")
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url) as triton,
    ):
        cameras = [gateway.add_camera(f"demo:?seed={seed}&size=320x240", "people") for seed in range(3)]
        eventually(lambda: all(gateway.status(c)["frames_inferred"] > 3 for c in cameras), 60)
        with stopped(triton.server_pid()):
            eventually(lambda: runtime(gateway)["breaker"] == "half_open", 10)
            assert runtime(gateway)["state"] == "unavailable"
            health = gateway.get("/api/v1/health")
            assert (health["status"], health["components"]["ai_runtime"]["status"]) == ("degraded", "unhealthy")
            assert "held until a frame is answered again" in health["components"]["ai_runtime"]["error"]
            assert "ruth_ai_runtime_breaker_open{runtime_id=" in gateway.fetch("/metrics").decode()
            assert all(gateway.status(c)["granted_fps"] == 0 for c in cameras)
            sent = dispatched(gateway)
            time.sleep(0.5)
            assert dispatched(gateway) == sent, "nothing is sent to a server that hangs"
        before = inferred(gateway, cameras)
        eventually(lambda: all(now > then for now, then in zip(inferred(gateway, cameras), before, strict=True)), 15)
        assert runtime(gateway)["breaker"] == "closed"
        eventually(lambda: gateway.get("/api/v1/health")["status"] == "healthy", 10)
        lines = [line["message"] for line in gateway.log_lines()]
        assert "no frames to a runtime that fails" in lines
        assert "frames again to a runtime that had failed" in lines


@pytest.mark.slow
def test_a_model_that_always_fails_is_held_alone(tmp_path):
    publish_blind(tmp_path / "models", "people")
    publish_failing(tmp_path / "models", "broken")
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url),
    ):
        good = gateway.add_camera("demo:?seed=1&size=320x240", "people")
        bad = gateway.add_camera("demo:?seed=2&size=320x240", "broken")
        eventually(lambda: set(runtime(gateway)["held_models"]) == {"broken"}, 60)
        assert (runtime(gateway)["state"], runtime(gateway)["breaker"]) == ("ready", "closed")
        refused = gateway.status(bad)["frames_dropped"]["rejected"]
        (before,) = inferred(gateway, [good])
        eventually(lambda: inferred(gateway, [good])[0] > before + 10, 30)
        assert gateway.status(bad)["frames_dropped"]["rejected"] == refused, "only tries are sent"
        assert gateway.status(bad)["frames_inferred"] == 0
        assert not {"rejected", "unavailable", "timeout"} & gateway.status(good)["frames_dropped"].keys()
        health = gateway.get("/api/v1/health")
        assert health["status"] == "degraded"
        assert "model broken gets no frames" in health["components"]["ai_runtime"]["error"]


def runtime(gateway):
    """The only runtime."""
    return gateway.get("/api/v1/runtimes")["items"][0]


def inferred(gateway, cameras):
    """Frames inferred of each camera."""
    return [gateway.status(camera)["frames_inferred"] for camera in cameras]


def dispatched(gateway):
    """Lines of the metrics that count frames sent."""
    text = gateway.fetch("/metrics").decode()
    return [line for line in text.splitlines() if line.startswith("ruth_ai_frames_dispatched_total{")]


@contextlib.contextmanager
def stopped(pid):
    """Keep a process stopped during the block, and for `HANG_S` at least."""
    began_s = time.monotonic()
    freeze(pid)
    try:
        yield
        time.sleep(max(0.0, began_s + HANG_S - time.monotonic()))
    finally:
        os.kill(pid, signal.SIGCONT)
