"""Two looks at a real Triton, and what a gateway makes of a runtime that declared more than it can do."""

import asyncio
import time

import pytest
from triton_agent.rest import call

from gateway.domain.load import load_between
from gateway.errors import RuntimeUnavailableError
from gateway.inference.link import Link
from gateway.inference.statistics import TritonObserver
from tests.support.contract_models import HEIGHT, WIDTH, publish_blind, publish_heavy
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, running_triton

FRAMES = 20


def infer(triton):
    """One frame of zeros, as JSON."""
    frames = {"name": "frames", "shape": [1, HEIGHT * 3 // 2, WIDTH], "datatype": "UINT8"}
    body = {"inputs": [frames | {"data": [0] * (WIDTH * HEIGHT * 3 // 2)}]}
    assert call("POST", f"{triton.http_url}/v2/models/people/infer", body=body, timeout_s=10).status == 200


def all_counted(triton):
    """Triton counts a request a moment after it has answered it."""
    return triton.api.statistics()["people", "1"].inferences == FRAMES


async def test_what_triton_counts_between_two_looks_is_what_was_asked_of_it(tmp_path):
    publish_blind(tmp_path, "people")
    with running_triton(tmp_path) as triton:
        observer = TritonObserver(Link(triton.grpc_url, triton.http_url), triton.metrics_url)
        before = await observer.look(time.monotonic(), 0, 0)
        for _ in range(FRAMES):
            await asyncio.to_thread(infer, triton)
        await asyncio.to_thread(eventually, lambda: all_counted(triton), 5)
        after = await observer.look(time.monotonic(), FRAMES, 0)
        await observer.close()
    load = load_between(before, after)
    assert load is not None
    seconds = after.at_s - before.at_s
    assert (load.fps, load.answered_fps) == (pytest.approx(FRAMES / seconds), pytest.approx(FRAMES / seconds))
    assert 0 < load.utilization < 1
    assert 0 < load.compute_ms < 1000 * seconds / FRAMES
    assert (load.pending, load.refused) == (0, 0)
    assert load.utilization == pytest.approx(load.compute_ms * load.fps / 1000, rel=0.05), "one instance"


async def test_a_look_at_nobody_says_that_the_runtime_is_away_and_metrics_may_be_missing(tmp_path):
    observer = TritonObserver(Link("127.0.0.1:1", "http://127.0.0.1:1"), None)
    with pytest.raises(RuntimeUnavailableError):
        await observer.look(0.0, 0, 0)
    await observer.close()
    publish_blind(tmp_path, "people")
    with running_triton(tmp_path) as triton:
        for url in ("http://127.0.0.1:1/metrics", "file:///etc/passwd", None):
            observer = TritonObserver(Link(triton.grpc_url, None), url)
            assert (await observer.look(0.0, 0, 0)).pending == 0
            await observer.close()


@pytest.mark.slow
def test_a_runtime_that_declared_more_than_it_does_is_asked_for_less_and_says_why(data_dir, tmp_path):
    publish_heavy(tmp_path / "models", "people")
    clip = data_dir / "video" / "people_one_by_one_50s.mp4"
    table = "[adaptation.cpu]\nmax_fps = 1000\nmax_camera_fps = 120\n"
    with (
        running_gateway(tmp_path / "gateway", config=table) as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url, env={"AI_RUNTIME_MAX_FPS": "1000"}),
    ):
        for _ in range(3):
            gateway.add_camera(f"file://{clip}?loop=1&pace=max", "people", fps=120)

        def runtime():
            return gateway.get("/api/v1/runtimes")["items"][0]

        eventually(lambda: gateway.get("/api/v1/runtimes")["items"] and runtime()["correction"], 60)
        eventually(
            lambda: runtime()["load"] and runtime()["limits"]["max_fps"] < 2 * runtime()["load"]["answered_fps"], 60
        )
        assert runtime()["limits"]["max_fps"] < runtime()["capability"]["max_fps"] == 1000
        assert 'kind="limit"' in gateway.fetch("/metrics").decode()
