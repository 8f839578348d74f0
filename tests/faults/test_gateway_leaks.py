"""An hour's worth of frames, replayed fast: the gateway holds no more after its second half than after its first."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import linear_regression

import av
import numpy as np
import pytest

from tests.support.busy_clients import Visits, busy_clients, look_around
from tests.support.census import metric, resident_kib, settled_holdings
from tests.support.fault_scale import SCALE
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.scripted_model import LABELS, publish_scripted
from tests.support.triton_server import eventually, running_triton

MODEL = "scripted"
CAMERAS, FPS = 8, 5
FRAMES = round(CAMERAS * FPS * 3600 * SCALE)
FILM_S, PERIOD_S, SHOWN_S = 60, 30, 10
GREY_OF_FIRST_LABEL = 5  # full range; 20 in limited range
ROUND = 4500
MOST_GROWTH = 0.02 if SCALE >= 1 else 0.1  # caches and pools still fill in less than an hour
GATEWAY = {"DATABASE_POOL_SIZE": "2"}  # each connection's cache of SQLite grows to 2 MB first
CONFIG = "[adaptation.cpu]\nmax_fps = 100000\nmax_camera_fps = 1000\nbatch_size = 8\n"


def write_film(path: Path) -> Path:
    """A minute in which an object is there for 10 s of every 30 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(FILM_S * FPS):
            grey = GREY_OF_FIRST_LABEL if k / FPS % PERIOD_S < SHOWN_S else 0
            picture = np.full((48, 64, 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def add_camera(gateway: RunningGateway, film: Path) -> tuple[str, dict[str, object]]:
    """A camera with a rule; its id and settings."""
    settings: dict[str, object] = {
        "name": "gate",
        "url": f"file://{film}?loop=1&pace=max",
        "model": MODEL,
        "fps": FPS,
        "clip_before_s": 2,
        "clip_after_s": 2,
    }
    camera_id = gateway.post("/api/v1/cameras", settings)["id"]
    rule = {"name": "seen", "definition": {"type": "zone_presence", "labels": LABELS[:1], "min_duration_s": 0}}
    gateway.post(f"/api/v1/cameras/{camera_id}/rules", rule)
    return camera_id, settings


def switch(gateway: RunningGateway, cameras: dict[str, dict[str, object]], *, enabled: bool) -> None:
    for camera_id, settings in cameras.items():
        status, answer = gateway.send("PUT", f"/api/v1/cameras/{camera_id}", {**settings, "enabled": enabled})
        assert status == 200, answer


def looked_at(gateway: RunningGateway) -> int:
    return round(metric(gateway, "ruth_ai_frame_age_seconds_count"))


def replay(gateway: RunningGateway, cameras: dict[str, dict[str, object]], frames: int) -> tuple[list[int], int]:
    """Let the cameras run until so many frames more were looked at, with clients about.

    Every round the cameras are switched off in the midst of their work and on again.

    Returns:
        Memory after each round in KiB, and how many events the clients heard.
    """
    resident: list[int] = []
    with busy_clients(gateway.url) as visits:
        for _ in range(0, frames, ROUND):
            wanted = looked_at(gateway) + ROUND
            switch(gateway, cameras, enabled=True)
            eventually(lambda wanted=wanted: looked_at(gateway) >= wanted, 300)
            switch(gateway, cameras, enabled=False)
            resident.append(resident_kib(gateway))
    assert visits.pages
    assert visits.pictures
    eventually(lambda: metric(gateway, "ruth_ai_spool_depth") == 0, 20)
    return resident, visits.events


def growth(resident: Sequence[int]) -> float:
    """By how much memory grew from the first to the last, by the line that fits best: single ones swing by 2 %."""
    slope, first = linear_regression(range(len(resident)), resident)
    return slope * (len(resident) - 1) / first


def fill_pools(gateway: RunningGateway) -> None:
    """Come all at once, so that pools of threads and connections are as large as they get."""

    with ThreadPoolExecutor(24) as visitors:
        for _ in range(48):
            visitors.submit(look_around, gateway.url.removeprefix("http://"), Visits())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_hours_worth_of_frames_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    film = write_film(tmp_path / "film.mp4")
    env = {"AI_RUNTIME_MAX_FPS": "100000"}
    with (
        running_gateway(tmp_path / "gateway", config=CONFIG, env=GATEWAY) as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url, env=env),
    ):
        cameras = dict(add_camera(gateway, film) for _ in range(CAMERAS))
        _, heard = replay(gateway, cameras, FRAMES // 2)
        fill_pools(gateway)
        first = settled_holdings(gateway)
        resident, heard_later = replay(gateway, cameras, FRAMES // 2)
        second = settled_holdings(gateway)
        violations = metric(gateway, "ruth_ai_violations_created_total")

    grown = growth(resident)
    with capsys.disabled():
        print(
            f"\n{FRAMES} frames, {violations:.0f} violations, {heard + heard_later} events heard: {first} after half of"
        )
        print(f"them, {second} after all; {grown:+.2%} memory in the second half: {resident} KiB")
    assert violations >= FRAMES / FPS / PERIOD_S / 2
    assert heard
    assert heard_later
    assert second == first
    assert grown <= MOST_GROWTH
