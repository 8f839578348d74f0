"""Transport: what one request to Triton costs, and what batches of one's own would gain."""

import asyncio
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import null_model
import numpy as np
import uvloop
from machine import usage
from part import Bench, Goal, Table
from subject import SIZE, repository
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput

from gateway.inference.grpc_control import GrpcControl
from gateway.inference.grpc_transport import GrpcTransport
from gateway.inference.http_transport import HttpTransport
from gateway.inference.shared_memory import SharedRegion
from gateway.inference.transport import Call, InferenceTransport, Region
from tests.support.triton_server import RunningTriton, running_triton

CONCURRENCY = 8
FRAME = null_model.WIDTH * null_model.ROWS  # of both models: their canvases are alike
ROWS_BYTES, COUNT_BYTES = 100 * 6 * 4, 4
SLOT = FRAME + ROWS_BYTES + COUNT_BYTES + 60
TIMEOUT_S = 10.0
COLUMNS = ("client", "requests/s", "client CPU us", "server CPU us")
GRPC_AIO = "tritonclient.grpc.aio"

Send = Callable[[], Awaitable[object]]
Runner = Callable[[Awaitable[float]], float]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request, or of one frame: how many a second, and CPU in microseconds on either side."""

    per_s: float
    client_us: float
    server_us: float


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Requests by every transport, then batches."""
    folder = repository(bench)
    null_model.publish(folder)
    with running_triton(folder, load=("detector", null_model.NAME)) as triton:
        found = {name: middle(bench, triton, *how) for name, how in _REQUESTS.items()}
        analyzer = median(perf_analyzer(triton) for _ in range(bench.repeats))
        rows = [(name, round(c.per_s), round(c.client_us), round(c.server_us)) for name, c in found.items()]
        note = f"A model that costs nothing, {CONCURRENCY} requests at once, frames of {FRAME:,} bytes."
        shown = [*rows, ("perf_analyzer (C++), gRPC, shared memory", round(analyzer), None, None)]
        yield Table("One request", COLUMNS, shown, note)
        best = found["HTTP, shared memory"]
        yield Goal(
            "requests/s >= 2 x perf_analyzer's", f"{2 * analyzer:.0f}", f"{best.per_s:.0f}", best.per_s >= 2 * analyzer
        )
        yield Goal("CPU us a request", "<= 60", f"{best.client_us:.0f}", best.client_us <= 60)
        yield batches(bench, triton)


def batches(bench: Bench, triton: RunningTriton) -> Table:
    """Triton's dynamic batcher against batches made here, of slots that lie side by side."""
    rows: list[Sequence[str | float]] = []
    for model, count in ((null_model.NAME, 4000), ("detector", 240)):
        for size, at_once in ((1, 8), (4, 2), (8, 1), (4, 4)):
            cost = middle(bench, triton, uvloop.run, "http", "memory", model, size, at_once, count)
            what = "single frames, batched by Triton" if size == 1 else f"batches of {size}"
            rows.append(
                (model, f"{what}, {at_once} at once", *map(round, (cost.per_s, cost.client_us, cost.server_us)))
            )
    return Table("Batches", ("model", "requests", "frames/s", "client CPU us a frame", "server CPU us a frame"), rows)


def middle(
    bench: Bench,
    triton: RunningTriton,
    run: Runner,
    client: str,
    frames: str,
    model: str = null_model.NAME,
    batch: int = 1,
    at_once: int = CONCURRENCY,
    count: int = 8000,
) -> Cost:
    """Medians of some measurements."""
    if bench.quick:
        count //= 4
    costs = [once(triton, run, client, frames, model, batch, at_once, count) for _ in range(bench.repeats)]
    return Cost(*(median(getattr(c, name) for c in costs) for name in ("per_s", "client_us", "server_us")))


def once(
    triton: RunningTriton, run: Runner, client: str, frames: str, model: str, batch: int, at_once: int, count: int
) -> Cost:
    """So many frames, by so many requests at once."""
    server = triton.server_pid()
    client_s = server_s = 0.0

    async def asked() -> float:
        nonlocal client_s, server_s
        region = SharedRegion(SLOT * batch * at_once)
        control = GrpcControl(triton.grpc_url)
        await control.register(region.name, SLOT * batch * at_once)
        transport = _TRANSPORTS[client](triton)
        try:
            sends = [sender(transport, region, frames, model, batch, k) for k in range(at_once)]
            await repeat(sends, 10 * at_once)
            server_s, client_s, started_s = usage([server]).cpu_s, time.process_time(), time.perf_counter()
            await repeat(sends, count // batch)
            return time.perf_counter() - started_s
        finally:
            client_s = time.process_time() - client_s
            server_s = usage([server]).cpu_s - server_s
            await transport.close()
            await control.unregister(region.name)
            await control.close()
            region.close()

    elapsed_s = run(asked())
    done = count // batch * batch
    return Cost(done / elapsed_s, client_s / done * 1e6, server_s / done * 1e6)


async def repeat(sends: Sequence[Send], count: int) -> None:
    """Send `count` requests, each sender one at a time."""

    async def work(send: Send) -> None:
        for _ in range(count // len(sends)):
            await send()

    await asyncio.gather(*(work(send) for send in sends))


def sender(
    transport: "InferenceTransport | TritonClientTransport",
    region: SharedRegion,
    frames: str,
    model: str,
    batch: int,
    number: int,
) -> Send:
    """Sends one request after the other from its own slots."""
    start, shape = number * SLOT * batch, (batch, null_model.ROWS, null_model.WIDTH)
    memory = region.memory[start : start + FRAME * batch]
    rows_at = start + FRAME * batch
    in_memory = frames == "memory"
    outputs = {
        "detections": Region(region.name, rows_at, ROWS_BYTES * batch) if in_memory else None,
        "num_detections": Region(region.name, rows_at + ROWS_BYTES * batch, COUNT_BYTES * batch) if in_memory else None,
    }
    where = Region(region.name, start, FRAME * batch) if in_memory else memory.reshape(shape)
    request = transport.prepare(Call(model, shape, where, outputs))
    return lambda: request.send(TIMEOUT_S)


class TritonClientTransport:
    """NVIDIA's own client, used as its examples do."""

    def __init__(self, grpc_url: str) -> None:
        self._client = InferenceServerClient(grpc_url)

    def prepare(self, call: Call) -> "TritonClientRequest":
        """Nothing can be kept but the call."""
        return TritonClientRequest(self._client, call)

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()


@dataclass(frozen=True, slots=True)
class TritonClientRequest:
    """One call."""

    client: InferenceServerClient
    call: Call

    async def send(self, timeout_s: float) -> object:
        """Ask, and read the answer."""
        tensor = InferInput("frames", list(self.call.shape), "UINT8")
        if isinstance(self.call.frames, Region):
            tensor.set_shared_memory(self.call.frames.name, self.call.frames.byte_size, self.call.frames.offset)
        else:
            tensor.set_data_from_numpy(self.call.frames)
        outputs = [InferRequestedOutput(name) for name in self.call.outputs]
        answer = await self.client.infer(self.call.model, [tensor], outputs=outputs, client_timeout=timeout_s)
        return [np.array(answer.as_numpy(name)) for name in self.call.outputs]


def perf_analyzer(triton: RunningTriton) -> float:
    """Requests/s of NVIDIA's load generator over gRPC with shared memory."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "found.csv"
        command = [Path(sys.executable).with_name("ruth-triton"), "perf-analyzer", "--", "-m", null_model.NAME]
        command += ["-u", triton.grpc_url, "-i", "grpc", "--shared-memory=system", "--output-shared-memory-size=4096"]
        command += [f"--concurrency-range={CONCURRENCY}", "-p", "2000", "-r", "3", "-s", "1000", "-f", str(table)]
        subprocess.run(command, check=True, capture_output=True)
        with table.open(encoding="utf-8") as lines:
            return float(next(csv.DictReader(lines))["Inferences/Second"])


_TRANSPORTS: dict[str, Callable[[RunningTriton], InferenceTransport | TritonClientTransport]] = {
    "http": lambda triton: HttpTransport(triton.http_url),
    "grpc": lambda triton: GrpcTransport(triton.grpc_url),
    GRPC_AIO: lambda triton: TritonClientTransport(triton.grpc_url),
}
_REQUESTS: dict[str, tuple[Runner, str, str]] = {
    "HTTP, shared memory": (uvloop.run, "http", "memory"),
    "the same on asyncio's own loop": (asyncio.run, "http", "memory"),
    "gRPC's bare stub, shared memory": (uvloop.run, "grpc", "memory"),
    f"{GRPC_AIO}, shared memory": (uvloop.run, GRPC_AIO, "memory"),
    "HTTP, inline": (uvloop.run, "http", "inline"),
    "gRPC's bare stub, inline": (uvloop.run, "grpc", "inline"),
    f"{GRPC_AIO}, inline": (uvloop.run, GRPC_AIO, "inline"),
}
assert SIZE == null_model.WIDTH
