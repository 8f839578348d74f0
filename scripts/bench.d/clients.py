"""The gateway and its peers, each run against the same Triton and measured in the same way."""

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from environments import EnvironmentFailedError, environment
from machine import Usage, usage
from part import Bench
from subject import repository

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import RunningTriton, eventually, free_ports, running_triton

PEERS = Path(__file__).parent / "peers"
WARM_UP_S = 3.0
START_TIMEOUT_S = 90.0
AGE_BUCKET = re.compile(r'^ruth_ai_frame_age_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
ADAPTATION = """
[adaptation.cpu]
max_fps = {max_fps}
max_camera_fps = 1000
batch_size = 1
timeout_ms = 2000
"""
UNLIMITED_FPS = 100_000
UNLIMITED_NOTE = "The gateway's caps for CPUs (30 frames/s in all, 5 a camera) are lifted by its adaptation table."


@dataclass(frozen=True, slots=True)
class Feed:
    """What cameras deliver.

    Attributes:
        clip: What they show.
        cameras: How many.
        pace: As fast as frames are taken, or at the clip's rate.
        fps: Of a camera, as it is wanted from the gateway.
    """

    clip: Path
    cameras: int
    pace: str
    fps: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One client under one feed.

    Attributes:
        fps: Frames/s with detections.
        client_ms: Processor time of the client's processes, ms a frame.
        server_ms: Processor time of tritonserver, ms a frame.
        pss_mb: The most memory that the client's processes had.
        p50_ms: Age of a result, from decoded to detected; median.
        p99_ms: The same, 99th percentile.
        camera_fps: Frames/s of each camera.
    """

    fps: float
    client_ms: float
    server_ms: float
    pss_mb: float
    p50_ms: float
    p99_ms: float
    camera_fps: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """Something that has frames inferred: measures itself under a feed."""

    name: str
    measure: Callable[["Stage", Feed], Measured]


@dataclass(frozen=True, slots=True)
class Stage:
    """A running Triton, and how clients are run against it."""

    bench: Bench
    triton: RunningTriton
    gateway_port: int

    @property
    def http(self) -> str:
        """Triton's HTTP address as `host:port`."""
        return self.triton.http_url.removeprefix("http://")

    def watch(
        self, pid: int, begin: Callable[[], None], end: Callable[[], tuple[dict[str, int], float, float]]
    ) -> Measured:
        """Measure a client that runs: `end` gives the frames of each camera since `begin`, and p50 and p99 in ms."""
        time.sleep(WARM_UP_S)
        server = self.triton.server_pid()
        begin()
        before, server_before, started_s = usage([pid]), usage([server]), time.monotonic()
        peak_mb = before.pss_mb
        while time.monotonic() < started_s + self.bench.seconds:
            time.sleep(0.5)
            peak_mb = max(peak_mb, (after := usage([pid])).pss_mb)
        frames, p50_ms, p99_ms = end()
        elapsed_s, server_after = time.monotonic() - started_s, usage([server])
        after = usage([pid])
        count = max(1, sum(frames.values()))
        return Measured(
            count / elapsed_s,
            _ms_each(before, after, count),
            _ms_each(server_before, server_after, count),
            peak_mb,
            p50_ms,
            p99_ms,
            tuple(sorted(each / elapsed_s for each in frames.values())),
        )


@contextlib.contextmanager
def stage(bench: Bench, load: Sequence[str] = ("detector", "detector_raw")) -> Iterator[Stage]:
    """A Triton with both forms of the detector, under its agent, which looks for a gateway on a port of its own."""
    (port,) = free_ports(1)
    limits = {"AI_RUNTIME_MAX_FPS": str(UNLIMITED_FPS), "AI_RUNTIME_MAX_CONCURRENT_STREAMS": "1000"}
    with running_triton(repository(bench), load=load, env=limits, gateway=f"http://127.0.0.1:{port}") as triton:
        yield Stage(bench, triton, port)


def gateway_client(name: str = "Ruth AI gateway", max_fps: int = UNLIMITED_FPS) -> Client:
    """`ruth-gateway serve` with a rule for each camera and its store, as users run it."""

    def measure(at: Stage, feed: Feed) -> Measured:
        with gateway(at, max_fps) as running:
            ids = add_cameras(running, feed)
            counted: dict[str, Any] = {}

            def begin() -> None:
                counted.update(frames=_inferred(running), ages=_ages(running))

            def end() -> tuple[dict[str, int], float, float]:
                frames = {each: count - counted["frames"][each] for each, count in _inferred(running).items()}
                ages = {le: count - counted["ages"][le] for le, count in _ages(running).items()}
                return frames, quantile_ms(ages, 0.5), quantile_ms(ages, 0.99)

            eventually(lambda: all(_inferred(running)[each] for each in ids), START_TIMEOUT_S)
            return at.watch(running.process.pid, begin, end)

    return Client(name, measure)


@contextlib.contextmanager
def gateway(at: Stage, max_fps: int = UNLIMITED_FPS) -> Iterator[RunningGateway]:
    """A gateway with a folder of its own that the stage's Triton has registered with."""
    with tempfile.TemporaryDirectory(dir=at.bench.folder) as folder:
        config = ADAPTATION.format(max_fps=max_fps)
        with running_gateway(Path(folder) / "data", port=at.gateway_port, config=config) as running:
            eventually(lambda: _serves(running, "detector"), START_TIMEOUT_S)
            yield running


def add_cameras(running: RunningGateway, feed: Feed) -> list[str]:
    """Put the feed's cameras on record; their ids."""
    url = f"{feed.clip.as_uri()}?loop=1&pace={feed.pace}"
    return [running.add_camera(url, "detector", fps=feed.fps) for _ in range(feed.cameras)]


def peer_client(name: str, script: str, lock: str | None = None) -> Client:
    """A script in `peers/`, run by the environment of its packages; None for this checkout's own."""

    def measure(at: Stage, feed: Feed) -> Measured:
        python = environment(at.bench, lock) if lock else Path(sys.executable)
        command = [python, PEERS / f"{script}.py", "--clip", feed.clip, "--cameras", feed.cameras, "--pace", feed.pace]
        command += ["--grpc", at.triton.grpc_url, "--http", at.http]
        with _running([str(part) for part in command], at.bench.folder / f"{script}.log") as process:
            answers = process.stdout
            assert answers is not None
            assert process.stdin is not None
            tell = process.stdin
            _expect_ready(process, at.bench.folder / f"{script}.log")

            def say(word: str) -> None:
                tell.write(f"{word}\n")
                tell.flush()

            def end() -> tuple[dict[str, int], float, float]:
                say("end")
                answer = json.loads(answers.readline())
                return answer["frames"], answer["p50_ms"] or 0.0, answer["p99_ms"] or 0.0

            return at.watch(process.pid, lambda: say("begin"), end)

    return Client(name, measure)


OWN_CLIENTS = (gateway_client(),)
PLAIN_PEERS = (
    peer_client("cv2 + tritonclient gRPC, a thread a camera", "cv2_threads"),
    peer_client("cv2 + tritonclient.grpc.aio", "cv2_aio"),
)
BARE_LOOP = peer_client("bare PyAV + shared memory + HTTP loop", "pyav_shared_memory")
"""Nobody's way to work, but what is left of the gateway's when all else is taken away: shown, and no goal's peer."""

PACKAGED_PEERS = (
    peer_client("Roboflow InferencePipeline (custom logic)", "roboflow_pipeline", "roboflow"),
    peer_client("Ultralytics predict on a Triton model", "ultralytics_predict", "ultralytics"),
)


def side_by_side(
    at: Stage, clients: Sequence[Client], feed: Feed, absent: dict[str, str]
) -> Iterator[tuple[Client, Measured]]:
    """Medians of each client under a feed, measured in turns; `absent` gets those that can't be, with the reason."""
    seen: dict[str, list[Measured]] = {client.name: [] for client in clients}
    for _ in range(at.bench.repeats):
        for client in clients:
            if client.name in absent:
                continue
            try:
                seen[client.name].append(client.measure(at, feed))
            except (PeerFailedError, EnvironmentFailedError) as error:
                absent[client.name] = str(error)
    yield from ((client, median(seen[client.name])) for client in clients if seen[client.name])


def median(measurements: Sequence[Measured]) -> Measured:
    """Each figure's median."""
    named = {
        field.name: statistics.median(getattr(each, field.name) for each in measurements)
        for field in fields(Measured)
        if field.name != "camera_fps"
    }
    return Measured(**named, camera_fps=measurements[-1].camera_fps)


def quantile_ms(buckets: dict[float, float], part: float) -> float:
    """A quantile of a Prometheus histogram (count of observations up to each bound in seconds), as PromQL has it."""
    wanted = buckets[max(buckets)] * part
    low_s = low = 0.0
    for bound_s, count in sorted(buckets.items()):
        if count >= wanted and count > low:
            return 1000 * (
                low_s if bound_s == float("inf") else low_s + (bound_s - low_s) * (wanted - low) / (count - low)
            )
        low_s, low = bound_s, count
    return 0.0


def _ms_each(before: Usage, after: Usage, count: int) -> float:
    return (after.cpu_s - before.cpu_s) * 1000 / count


def _serves(running: RunningGateway, model: str) -> bool:
    models = running.get("/api/v1/models")["items"]
    return any(each["name"] == model for each in models)


def _inferred(running: RunningGateway) -> dict[str, int]:
    return {each["id"]: each["status"]["frames_inferred"] for each in running.get("/api/v1/cameras?limit=200")["items"]}


def _ages(running: RunningGateway) -> dict[float, float]:
    return {float(le): float(count) for le, count in AGE_BUCKET.findall(running.fetch("/metrics").decode())}


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator["subprocess.Popen[str]"]:
    environ = {
        **os.environ,
        "PYTHONPATH": "",
        "OMP_NUM_THREADS": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
    }
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=PEERS, env=environ
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _expect_ready(process: "subprocess.Popen[str]", log: Path) -> None:
    """Wait for the first result.

    Raises:
        PeerFailedError: It ends, or has none in time.
    """
    timer = threading.Timer(START_TIMEOUT_S, process.kill)
    timer.start()
    try:
        for line in process.stdout or ():
            if line.strip() == "ready":
                return
    finally:
        timer.cancel()
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise PeerFailedError(lines[-1] if lines else "no result in time")


class PeerFailedError(Exception):
    """A peer can't be measured; says why."""
