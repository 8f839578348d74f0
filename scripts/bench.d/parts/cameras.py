"""As fast as it goes: 1, 4 and 16 cameras, the gateway beside its peers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from clients import (
    BARE_LOOP,
    OWN_CLIENTS,
    PACKAGED_PEERS,
    PLAIN_PEERS,
    UNLIMITED_NOTE,
    Feed,
    Measured,
    side_by_side,
    stage,
)
from machine import describe
from part import Bench, Goal, Table
from subject import clip

CAMERAS = (1, 4, 16)
COLUMNS = (
    "client",
    "cameras",
    "frames/s",
    "client CPU ms a frame",
    "beyond decoding",
    "Triton CPU ms a frame",
    "PSS MB",
    "age p50 ms",
    "p99 ms",
)


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Every client at each number of cameras, in turns, so that none has the machine's good minute to itself."""
    decode_ms = bare_decode_ms(bench)
    found: dict[tuple[str, int], Measured] = {}
    clients = [*OWN_CLIENTS, BARE_LOOP, *PLAIN_PEERS, *(PACKAGED_PEERS if bench.peers else ())]
    absent: dict[str, str] = {}
    with stage(bench) as at:
        for cameras in CAMERAS:
            found |= {
                (c.name, cameras): m
                for c, m in side_by_side(at, clients, Feed(clip(bench), cameras, "max", 120), absent)
            }
    rows = [
        (name, n, m.fps, m.client_ms, m.client_ms - decode_ms, m.server_ms, m.pss_mb, m.p50_ms, m.p99_ms)
        for (name, n), m in sorted(found.items(), key=lambda item: item[0][1])
    ]
    missing = "".join(f" {name} can't be measured: {reason}." for name, reason in absent.items())
    yield Table(
        "As fast as it goes",
        COLUMNS,
        rows,
        f"PyAV's bare decode: {decode_ms:.2f} ms a frame. {UNLIMITED_NOTE}{missing}",
    )
    yield from goals(found, decode_ms)


def bare_decode_ms(bench: Bench) -> float:
    """Processor time of PyAV's bare decoding, ms a frame."""
    command = [sys.executable, Path(__file__).parents[1] / "peers" / "bare_decode.py", clip(bench)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def goals(found: dict[tuple[str, int], Measured], decode_ms: float) -> Iterator[Goal]:
    """What is to be reached at the largest number of cameras."""
    most = CAMERAS[-1]
    ours = found[OWN_CLIENTS[0].name, most]
    no_peers = {OWN_CLIENTS[0].name, BARE_LOOP.name}
    peers = [m for (name, n), m in found.items() if n == most and name not in no_peers]
    best_fps = max(m.fps for m in peers)
    bound = int(describe()["processors"]) * 1000 / (ours.server_ms + decode_ms)
    yield Goal(
        "frames/s against the best peer", ">= 1.15 x", f"{ours.fps / best_fps:.2f} x", ours.fps >= 1.15 * best_fps
    )
    yield Goal(
        "frames/s against processors / (Triton's CPU per inference + bare decode)",
        ">= 90 %",
        f"{ours.fps / bound:.0%} of {bound:.0f}",
        ours.fps >= 0.9 * bound,
    )
    beyond, least = ours.client_ms - decode_ms, min(m.client_ms for m in peers) - decode_ms
    yield Goal("client CPU beyond decoding, s per 1,000 frames", "<= 0.6", f"{beyond:.2f}", beyond <= 0.6)
    yield Goal("the same against the best peer", "<= 1/3", f"{beyond / least:.2f}", beyond <= least / 3)
    age_ms = min(m.p99_ms for m in peers)
    yield Goal("p99 age of a result, ms", "<= 60", f"{ours.p99_ms:.0f}", ours.p99_ms <= 60)
    yield Goal("the same against the best peer", "<= 1/2", f"{ours.p99_ms / age_ms:.2f}", ours.p99_ms <= age_ms / 2)
    few = found[OWN_CLIENTS[0].name, CAMERAS[0]]
    each_mb = (ours.pss_mb - few.pss_mb) / (most - CAMERAS[0])
    yield Goal("PSS at 16 cameras, MB", "<= 200", f"{ours.pss_mb:.0f}", ours.pss_mb <= 200)
    yield Goal("PSS for each further camera, MB", "<= 6", f"{each_mb:.1f}", each_mb <= 6)
