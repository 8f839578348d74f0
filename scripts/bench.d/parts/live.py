"""Live cameras: 16 of 10 frames/s, and how many of 5 frames/s keep fresh."""

from collections.abc import Iterator

from clients import (
    BARE_LOOP,
    OWN_CLIENTS,
    PLAIN_PEERS,
    UNLIMITED_NOTE,
    Client,
    Feed,
    Measured,
    Stage,
    side_by_side,
    stage,
)
from part import Bench, Goal, Table
from subject import clip

CAMERAS, FPS = 16, 10
SLOW_FPS = 5
MOST_CAMERAS = 64
FRESH_MS = 100.0
COMPLETE = 0.99
COLUMNS = ("client", "frames/s", "client CPU ms a frame", "Triton CPU ms a frame", "PSS MB", "age p50 ms", "p99 ms")


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Both questions, for the gateway and the peers that are code of one's own."""
    clients = [*OWN_CLIENTS, BARE_LOOP, *PLAIN_PEERS]
    with stage(bench) as at:
        found = list(side_by_side(at, clients, Feed(clip(bench, FPS), CAMERAS, "realtime", FPS), {}))
        rows = [(c.name, m.fps, m.client_ms, m.server_ms, m.pss_mb, m.p50_ms, m.p99_ms) for c, m in found]
        yield Table(f"{CAMERAS} live cameras of {FPS} frames/s", COLUMNS, rows, UNLIMITED_NOTE)
        ours = found[0][1]
        wanted = CAMERAS * FPS
        yield Goal("16 live cameras: frames/s", f"{wanted}", f"{ours.fps:.1f}", ours.fps >= COMPLETE * wanted)
        yield Goal("CPU s per 1,000 frames", "<= 1.5", f"{ours.client_ms:.2f}", ours.client_ms <= 1.5)
        yield Goal("p99 age, ms", "<= 25", f"{ours.p99_ms:.0f}", ours.p99_ms <= 25)
        most = {client.name: most_fresh(at, client) for client in clients}
    title = f"Cameras of {SLOW_FPS} frames/s that keep fresh: every frame inferred, p99 age up to {FRESH_MS:g} ms"
    shown = [(name, cameras, *(figures(m) if m else (None,) * 3)) for name, (cameras, m) in most.items()]
    yield Table(title, ("client", "cameras", "frames/s", "age p99 ms", "client CPU ms a frame"), shown)
    cameras = most[OWN_CLIENTS[0].name][0]
    yield Goal(title, ">= 36 on two cores", str(cameras), cameras >= 36)


def most_fresh(at: Stage, client: Client) -> tuple[int, Measured | None]:
    """The most cameras that keep fresh, found by halving; and how it was with them."""
    fresh, best, stale = 0, None, MOST_CAMERAS + 1
    while stale - fresh > (8 if at.bench.quick else 1):
        cameras = (fresh + stale) // 2
        seen = client.measure(at, Feed(clip(at.bench, SLOW_FPS), cameras, "realtime", SLOW_FPS))
        if seen.fps >= COMPLETE * cameras * SLOW_FPS and seen.p99_ms <= FRESH_MS:
            fresh, best = cameras, seen
        else:
            stale = cameras
    return fresh, best


def figures(measured: Measured) -> tuple[float, float, float]:
    """Of the most cameras."""
    return measured.fps, measured.p99_ms, measured.client_ms
