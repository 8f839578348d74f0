"""Components that need no server: fused graphs, the rendered street, the spool."""

import asyncio
import datetime as dt
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
from part import Bench, Table

from converters.builtin_hog import build as build_people_hog
from converters.families import BuildOptions, choose
from converters.onnx_file import read_onnx
from gateway.domain.violation import ViolationClosed
from gateway.sources.demo import DemoStreet
from gateway.store.spool import SqliteSpool

RUNS = 40
COMMITS = 4000
CALLERS = 64


def measure(bench: Bench) -> Iterator[Table]:
    """Each component by itself."""
    model = bench.data / "models" / "yolox_nano_416.onnx"
    rows = [(name, unit, value) for name, unit, value in figures(model, 5 if bench.quick else RUNS)]
    yield Table("Components, one thread each, best of many", ("what", "unit", "measured"), rows)


def figures(model: Path, runs: int) -> Iterator[tuple[str, str, float]]:
    """Each figure with its name and unit."""
    file = read_onnx(model)
    fused = choose(file)[0].build(file, BuildOptions()).model
    yield f"{model.stem}, the bare network as exported", "ms a frame", network_ms(file.data, runs)
    yield f"{model.stem}, fused: NV12 to suppressed rows", "ms a frame", network_ms(fused.SerializeToString(), runs)
    hog = build_people_hog().model.SerializeToString()
    yield "people_hog, fused", "ms a frame", network_ms(hog, runs)
    street = DemoStreet(people=3, seed=1)
    act = range(200)  # 20 s: empty stretches and crowded ones
    demo_ms = best_ms(lambda: [street.render(k) for k in act], 1 + runs // 10) / len(act)
    yield "the demo street at 1280 x 720, mean of 20 s", "ms a frame", demo_ms
    for callers in (1, CALLERS):
        yield f"durable spool commits, callers: {callers}", "commits/s", asyncio.run(commits_per_s(callers))


def network_ms(data: bytes, runs: int) -> float:
    """Best time of one frame through ONNX Runtime with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (frame,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in frame.shape]
    dtype = np.uint8 if frame.type == "tensor(uint8)" else np.float32
    picture = np.random.default_rng(1).integers(16, 236, shape).astype(dtype)
    return best_ms(lambda: session.run(None, {frame.name: picture}), runs)


def best_ms(call: Callable[[], object], runs: int) -> float:
    """Least of many times: what the machine can do when nothing else wants it."""
    times: list[float] = []
    for _ in range(runs):
        started_s = time.perf_counter()
        call()
        times.append(time.perf_counter() - started_s)
    return min(times) * 1000


async def commits_per_s(callers: int) -> float:
    """Durable commits of one record each, from so many callers at once."""
    now = dt.datetime.now(dt.UTC)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        async with await SqliteSpool.open(Path(folder) / "spool.db") as spool:

            async def commit(count: int) -> None:
                for _ in range(count):
                    await spool.commit([ViolationClosed(id=str(uuid.uuid4()), ended_at=now, score=0.5, at=now)], {})

            started_s = time.perf_counter()
            await asyncio.gather(*(commit(COMMITS // callers) for _ in range(callers)))
            return COMMITS // callers * callers / (time.perf_counter() - started_s)
