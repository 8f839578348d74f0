"""Twice as many frames as the runtime may take: what each camera is granted, and what it gets."""

import time
from collections.abc import Iterator

from clients import WARM_UP_S, Feed, add_cameras, gateway, stage
from part import Bench, Goal, Table
from subject import clip

from tests.support.running_gateway import RunningGateway

CAMERAS, FPS = 16, 10
MAX_FPS = CAMERAS * FPS // 2


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """The adaptation table caps the runtime at half of what the cameras want."""
    feed = Feed(clip(bench, FPS), CAMERAS, "realtime", FPS)
    with stage(bench, ["detector"]) as at, gateway(at, MAX_FPS) as running:
        ids = add_cameras(running, feed)
        time.sleep(2 * WARM_UP_S)
        before, started_s = statuses(running, ids), time.monotonic()
        time.sleep(3 * bench.seconds)
        after, elapsed_s = statuses(running, ids), time.monotonic() - started_s
    granted = [status["granted_fps"] for status in after]
    frames = [b["frames_inferred"] - a["frames_inferred"] for a, b in zip(before, after, strict=True)]
    parts = [count / elapsed_s / fps for count, fps in zip(frames, granted, strict=True)]
    rows = [
        ("granted, frames/s", min(granted), sum(granted) / CAMERAS, max(granted)),
        ("achieved, frames/s", min(frames) / elapsed_s, sum(frames) / elapsed_s / CAMERAS, max(frames) / elapsed_s),
        ("achieved of granted", min(parts), sum(parts) / CAMERAS, max(parts)),
    ]
    note = f"{CAMERAS} cameras want {FPS} frames/s each; the runtime is capped at {MAX_FPS} by the adaptation table."
    yield Table("Fairness at twice the load", ("", "least", "mean", "most"), rows, note)
    furthest = max(abs(part - 1) for part in parts)
    yield Goal("every camera's distance from its grant", "<= 5 %", f"{furthest:.1%}", furthest <= 0.05)
    achieved = sum(frames) / elapsed_s / sum(granted)
    yield Goal("achieved of granted, all cameras", ">= 98 %", f"{achieved:.1%}", achieved >= 0.98)


def statuses(running: RunningGateway, ids: list[str]) -> list[dict[str, float]]:
    """Status of each camera, in the order of the ids."""
    cameras = {each["id"]: each["status"] for each in running.get("/api/v1/cameras?limit=200")["items"]}
    return [cameras[each] for each in ids]
