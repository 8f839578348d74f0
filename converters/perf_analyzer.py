"""NVIDIA's perf_analyzer, run by the agent, and what its table says.

Columns: https://github.com/triton-inference-server/perf_analyzer/blob/main/docs/measurements_metrics.md
"""

import base64
import csv
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from converters.errors import MissingError, ModelError
from converters.spec import INPUT_NAME
from converters.triton_server import ruth_triton

GRACE_S = 60.0
"""For its start and its first requests, beside what it measures."""
_WINDOWS = 3
"""At each concurrency."""
_MISSING = 3
_UNSTABLE_PERCENT = "999"
"""Spread between windows that is still accepted: a bounded time counts more than a calm machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a number of requests under way at once came to.

    Attributes:
        concurrency: Requests under way.
        frames_per_s: Throughput.
        p50_ms: Median latency of a request, measured by the client.
        p95_ms: Its 95th percentile.
    """

    concurrency: int
    frames_per_s: float
    p50_ms: float
    p95_ms: float


def longest_s(concurrencies: Sequence[int], requests: int, latency_ms: float) -> float:
    """Return the seconds that `measure` takes at most where a request takes no longer than `latency_ms`.

    That is at the first concurrency: at the others as many requests a second are answered at least, however late.
    """
    return GRACE_S + len(concurrencies) * _WINDOWS * requests * latency_ms / 1000 / concurrencies[0]


def measure(
    grpc_url: str, name: str, frames: NDArray[np.uint8], concurrencies: Sequence[int], requests: int, timeout_s: float
) -> list[Load]:
    """Ask a served model with requests of one frame each, at each concurrency; empty if it came to no end in time.

    Args:
        grpc_url: `host:port`.
        name: Model.
        frames: NV12 `[n, H * 3 / 2, W]`, sent in turn.
        concurrencies: Evenly spaced, ascending.
        requests: Measured in each window.
        timeout_s: For all of it.

    Raises:
        MissingError: There is no perf_analyzer.
        ModelError: It could not measure the model.
    """
    step = concurrencies[1] - concurrencies[0] if len(concurrencies) > 1 else 1
    with TemporaryDirectory(prefix="ruth-convert-") as folder:
        data, table = Path(folder) / "frames.json", Path(folder) / "table.csv"
        encoded = [{INPUT_NAME: {"b64": base64.b64encode(frame.tobytes()).decode()}} for frame in frames]
        data.write_text(json.dumps({"data": encoded}), encoding="utf-8")
        command = [ruth_triton(), "perf-analyzer", "--", "-m", name, "-i", "grpc", "-u", grpc_url]
        command += ["--concurrency-range", f"{concurrencies[0]}:{concurrencies[-1]}:{step}"]
        command += ["--input-data", str(data), "--percentile=95", "-f", str(table)]
        command += ["--measurement-mode", "count_windows", "--measurement-request-count", str(requests)]
        command += ["-s", _UNSTABLE_PERCENT, "-r", str(_WINDOWS)]
        return read_table(table.read_text(encoding="utf-8")) if _came_to_an_end(command, timeout_s) else []


def read_table(text: str) -> list[Load]:
    """Read perf_analyzer's CSV, whose latencies are in microseconds.

    Raises:
        ModelError: A column is missing.
    """
    try:
        return [
            Load(
                concurrency=int(row["Concurrency"]),
                frames_per_s=float(row["Inferences/Second"]),
                p50_ms=float(row["p50 latency"]) / 1000,
                p95_ms=float(row["p95 latency"]) / 1000,
            )
            for row in csv.DictReader(text.splitlines())
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"perf_analyzer's table is not as expected ({error!r})") from error


def _came_to_an_end(command: Sequence[str], timeout_s: float) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == _MISSING:
        raise MissingError(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise ModelError("perf_analyzer failed: " + "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:]))
    return True
