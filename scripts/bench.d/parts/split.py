"""Where the gateway's processor time goes, sampled while it works as fast as it can."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from clients import OWN_CLIENTS, START_TIMEOUT_S, Feed, Stage, add_cameras, gateway, stage
from environments import environment
from part import Bench, Table
from subject import clip

from tests.support.triton_server import eventually

CAMERAS = 16
RATE = 100
PLACES = (
    ("gateway/inference/canvas", "scale"),
    ("gateway/inference/", "transport"),
    ("gateway/sources/", "decode"),
    ("gateway/scheduler/", "schedule"),
    ("gateway/rules/", "rules"),
    ("gateway/pipeline/judge", "rules"),
    ("gateway/store/", "store"),
    ("gateway/evidence/", "store"),
    ("gateway/pipeline/recorder", "store"),
    ("gateway/pipeline/", "pipeline"),
)
ORDER = ("decode", "scale", "transport", "schedule", "rules", "store", "pipeline", "the rest")


def measure(bench: Bench) -> Iterator[Table]:
    """What is sampled says the shares; what the kernel counted says of how much."""
    feed = Feed(clip(bench), CAMERAS, "max", 120)
    with stage(bench, ["detector"]) as at:
        cost_ms = OWN_CLIENTS[0].measure(at, feed).client_ms
        samples = sampled(at, feed)
    total = sum(samples.values())
    rows = [(name, f"{samples[name] / total:.1%}", samples[name] / total * cost_ms) for name in ORDER]
    note = f"Shares of {total} samples by py-spy, each given to the innermost of the gateway's own lines."
    title = f"Processor time of the gateway, {CAMERAS} cameras as fast as it goes"
    yield Table(title, ("where", "share", "ms a frame"), rows, note)


def sampled(at: Stage, feed: Feed) -> Counter[str]:
    """Samples by place."""
    path = at.bench.folder / "samples.txt"
    py_spy = environment(at.bench, "tools").parent / "py-spy"
    with gateway(at) as running:
        ids = add_cameras(running, feed)
        eventually(lambda: all(running.status(each)["frames_inferred"] for each in ids), START_TIMEOUT_S)
        seconds = str(round(at.bench.seconds * 2))
        command = [py_spy, "record", "--pid", str(running.process.pid), "--format", "raw", "--output", path]
        command += ["--duration", seconds, "--rate", str(RATE), "--nonblocking"]
        subprocess.run(command, check=True, capture_output=True)
    return by_place(path)


def by_place(samples: Path) -> Counter[str]:
    """Samples of a file of folded stacks, by the place of their innermost known line."""
    counted: Counter[str] = Counter()
    for line in samples.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        counted[place(stack.split(";"))] += int(count)
    return counted


def place(stack: list[str]) -> str:
    """Where a stack is, seen from its innermost line."""
    return next((name for line in reversed(stack) for part, name in PLACES if part in line), "the rest")
