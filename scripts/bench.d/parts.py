"""Times the parts that need no server: fused graphs, the rendered street, the spool. One thread each, best of many."""

import argparse
import asyncio
import datetime as dt
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort

from converters.builtin_hog import build as build_people_hog
from converters.families import BuildOptions, choose
from converters.onnx_file import read_onnx
from gateway.domain.violation import ViolationClosed
from gateway.sources.demo import DemoStreet
from gateway.store.spool import SqliteSpool

RUNS = 40
COMMITS = 4000
CALLERS = 64


def main() -> None:
    """Print one JSON object: milliseconds, or commits a second, by name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="a model that ruth-convert recognises")
    options = parser.parse_args()
    figures = {name: round(value, 3) for name, value in measure(options.model)}
    print(json.dumps(figures, indent=2))


def measure(model: Path | None) -> Iterator[tuple[str, float]]:
    """Each figure with its name."""
    if model is not None:
        file = read_onnx(model)
        fused = choose(file)[0].build(file, BuildOptions()).model
        yield f"{model.stem}: bare network, ms a frame", network_ms(file.data)
        yield f"{model.stem}: fused, ms a frame", network_ms(fused.SerializeToString())
    yield "people_hog: ms a frame", network_ms(build_people_hog().model.SerializeToString())
    street = DemoStreet(people=3, seed=1)
    act = range(200)  # 20 s: empty stretches and crowded ones
    yield "demo street 1280x720: ms a frame, mean", best_ms(lambda: [street.render(k) for k in act], 5) / len(act)
    for callers in (1, CALLERS):
        yield f"spool, callers {callers}: commits/s", asyncio.run(commits_per_s(callers))


def network_ms(data: bytes) -> float:
    """Best time of one frame through ONNX Runtime with one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (frame,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in frame.shape]
    dtype = np.uint8 if frame.type == "tensor(uint8)" else np.float32
    picture = np.random.default_rng(1).integers(16, 236, shape).astype(dtype)
    return best_ms(lambda: session.run(None, {frame.name: picture}), RUNS)


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


if __name__ == "__main__":
    main()
