"""From a model file to a published model: time and memory, beside Polygraphy's and onnxslim's own steps."""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from environments import EnvironmentFailedError, environment
from machine import usage
from part import Bench, Goal, Table
from widened import widened

COLUMNS = ("step", "time s", "CPU s", "PSS MB at most")
SAMPLE_S = 0.2
TIMES, HEAD_CHANNELS = 5.37, (1, 4, 80)
LIMITS = {"YOLOX-nano, 4 MB": (10.0, 600.0), "YOLOX-nano of 5.4 times the channels, 100 MB": (60.0, 2500.0)}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one command: seconds, processor seconds, and megabytes at most, of all its processes."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(bench: Bench) -> Iterator[Table | Goal]:
    """Each model through the converter, and through the tools that people would use by hand."""
    small, large = bench.data / "models" / "yolox_nano_416.onnx", bench.folder / "yolox_wide_416.onnx"
    onnx.save(widened(onnx.load(str(small)), TIMES, HEAD_CHANNELS), str(large))
    for (name, (limit_s, limit_mb)), model in zip(LIMITS.items(), (small, large), strict=True):
        costs = {step: median_cost(bench, command) for step, command in steps(bench, model).items()}
        rows = [(step, cost.wall_s, cost.cpu_s, cost.peak_mb) for step, cost in costs.items()]
        yield Table(
            f"From file to published: {name}",
            COLUMNS,
            rows,
            "ruth-convert does every step and a trial in a real Triton.",
        )
        ours = costs["ruth-convert onnx"]
        yield Goal(f"{name}, file to published, s", f"< {limit_s:g}", f"{ours.wall_s:.1f}", ours.wall_s < limit_s)
        yield Goal(f"{name}, most memory, MB", f"< {limit_mb:g}", f"{ours.peak_mb:.0f}", ours.peak_mb < limit_mb)


def steps(bench: Bench, model: Path) -> Mapping[str, Sequence[str | Path]]:
    """Command of each step by its name; `OUT` stands for a folder of its own."""
    own = Path(sys.executable).parent
    found: dict[str, Sequence[str | Path]] = {
        "ruth-convert onnx": [own / "ruth-convert", "onnx", model, "--name", "model", "--repository", "OUT"],
        "ruth-convert onnx --dry-run": [
            own / "ruth-convert", "onnx", model, "--name", "model", "--repository", "OUT", "--dry-run",
        ],
    }  # fmt: skip
    if not bench.peers:
        return found
    try:
        tools = environment(bench, "tools").parent
    except EnvironmentFailedError as error:
        print(f"peers are left out: {error}", file=sys.stderr)
        return found
    return {
        **found,
        "polygraphy inspect model": [tools / "polygraphy", "inspect", "model", model],
        "polygraphy surgeon sanitize --fold-constants": [
            tools / "polygraphy", "surgeon", "sanitize", "--fold-constants", model, "-o", "OUT/folded.onnx",
        ],
        "polygraphy run --onnxrt": [tools / "polygraphy", "run", "--onnxrt", model],
        "onnxslim": [tools / "onnxslim", model, "OUT/slim.onnx"],
    }  # fmt: skip


def median_cost(bench: Bench, command: Sequence[str | Path]) -> Cost:
    """Each figure's median."""
    costs = [cost_of(bench, command) for _ in range(bench.repeats)]
    return Cost(
        *(statistics.median(values) for values in zip(*((c.wall_s, c.cpu_s, c.peak_mb) for c in costs), strict=True))
    )


def cost_of(bench: Bench, command: Sequence[str | Path]) -> Cost:
    """Run a command in an empty folder and watch all its processes.

    Raises:
        RuntimeError: It fails; says how.
    """
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    line = [str(part).replace("OUT", str(folder), 1) if str(part).startswith("OUT") else str(part) for part in command]
    with tempfile.TemporaryFile() as output:
        started_s, peak_mb, cpu_s = time.monotonic(), 0.0, 0.0
        with subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                seen = usage([process.pid])
                peak_mb, cpu_s = max(peak_mb, seen.pss_mb), max(cpu_s, seen.cpu_s)
                time.sleep(SAMPLE_S)
        wall_s = time.monotonic() - started_s
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(line)} ended with {process.returncode}: {output.read()[-500:].decode()}")
    shutil.rmtree(folder)
    return Cost(wall_s, cpu_s, peak_mb)
