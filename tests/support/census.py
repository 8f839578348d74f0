"""What a gateway's process holds: memory, descriptors, threads, tasks, shared memory."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.running_gateway import RunningGateway

SETTLING_S = 10.0
"""A process that has stopped working lets go of what it worked with by then."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What can be counted, and leaks by whole pieces.

    Attributes:
        descriptors: Open files and sockets.
        threads: Of the process.
        tasks: Of its event loop.
        shm_bytes: Of its regions in shared memory.
    """

    descriptors: int
    threads: int
    tasks: int
    shm_bytes: int


def holdings(gateway: RunningGateway) -> Holdings:
    """What it holds now."""
    process = Path(f"/proc/{gateway.process.pid}")
    regions = Path("/dev/shm").glob(f"ruth_ai_gateway_{gateway.process.pid}_*")
    return Holdings(
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        tasks=round(metric(gateway, "ruth_ai_tasks")),
        shm_bytes=sum(region.stat().st_size for region in regions),
    )


def settled_holdings(gateway: RunningGateway) -> Holdings:
    """The least that it holds while it is left alone, each kind by itself."""
    seen: list[Holdings] = []
    until_s = time.monotonic() + SETTLING_S
    while time.monotonic() < until_s and (len(seen) < 8 or seen[-1] != seen[-8]):
        seen.append(holdings(gateway))
        time.sleep(0.25)
    names = Holdings.__dataclass_fields__
    return Holdings(**{name: min(getattr(each, name) for each in seen) for name in names})


def resident_kib(gateway: RunningGateway) -> int:
    """Memory that is in use: VmRSS."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


def metric(gateway: RunningGateway, name: str) -> float:
    """Sum of a metric over its labels."""
    lines = gateway.fetch("/metrics").decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line))
