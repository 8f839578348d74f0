"""The published detector under NVIDIA's perf_analyzer, and under the gateway: what the same processors give."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from clients import OWN_CLIENTS, Feed, Stage, median, stage
from machine import usage
from part import Bench, Goal, Table
from subject import clip

CONCURRENCY = (2, 4, 8)
CAMERAS = 16
COLUMNS = ("client", "inferences/s", "client CPU ms each", "Triton CPU ms each")


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """perf_analyzer at a few concurrencies, and the gateway at 16 cameras."""
    with stage(bench, ["detector"]) as at:
        rows = [analyzed(at, concurrency) for concurrency in CONCURRENCY]
        feed = Feed(clip(bench), CAMERAS, "max", 120)
        ours = median([OWN_CLIENTS[0].measure(at, feed) for _ in range(bench.repeats)])
    rows.append((f"{OWN_CLIENTS[0].name}, {CAMERAS} cameras", ours.fps, ours.client_ms, ours.server_ms))
    yield Table("The published detector, shared memory", COLUMNS, rows)
    best = max(rows[:-1], key=lambda row: row[1])
    seen = best[3] / ours.server_ms
    text = "inferences per second of Triton's CPU, against perf_analyzer at its best"
    yield Goal(text, ">= 95 %", f"{seen:.0%}", seen >= 0.95)


def analyzed(at: Stage, concurrency: int) -> tuple[str, float, float, float]:
    """One run of perf_analyzer over gRPC: inferences/s, and what one costs it and tritonserver."""
    command: list[str | Path] = [Path(sys.executable).parent / "ruth-triton", "perf-analyzer", "--", "-m", "detector"]
    command += [
        "-u",
        at.triton.grpc_url,
        "-i",
        "grpc",
        "--shared-memory",
        "system",
        "--concurrency-range",
        str(concurrency),
    ]
    command += ["--measurement-interval", str(round(at.bench.seconds * 1000 / 3)), "--max-trials", "6"]
    server = at.triton.server_pid()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(at.bench.seconds / 2)
        before, served, started_s = usage([process.pid]), inferences(at), time.monotonic()
        server_before = usage([server])
        time.sleep(at.bench.seconds / 2)
        after, count, elapsed_s = usage([process.pid]), inferences(at) - served, time.monotonic() - started_s
        server_after = usage([server])
        process.kill()
    each = 1000 / max(1, count)
    return (
        f"perf_analyzer, concurrency {concurrency}",
        count / elapsed_s,
        (after.cpu_s - before.cpu_s) * each,
        (server_after.cpu_s - server_before.cpu_s) * each,
    )


def inferences(at: Stage) -> int:
    """Inferences of the detector so far, as Triton counts them."""
    return at.triton.api.statistics()["detector", "1"].inferences
