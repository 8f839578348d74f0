"""What the machine is and does: processors, load, CPU seconds and memory of process trees, from /proc."""

import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a tree of processes.

    Attributes:
        cpu_s: User and system time so far, of ended children that were waited for too.
        pss_mb: Proportional set size now: shared pages count once among those that share them.
    """

    cpu_s: float
    pss_mb: float


def describe() -> dict[str, str | int]:
    """The machine, for the record."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = {line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")}
    memory_kb = int(Path("/proc/meminfo").read_text(encoding="utf-8").split(None, 2)[1])
    return {
        "processors": len(os.sched_getaffinity(0)),
        "processor": ", ".join(sorted(names)) or platform.machine(),
        "memory_gib": round(memory_kb / 2**20),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def load_average() -> float:
    """Processes that wanted a processor over the last minute."""
    return round(os.getloadavg()[0], 2)


def busy_s() -> float:
    """Processor seconds that the whole machine has spent; what others took is this less the processes measured."""
    user, nice, system, _, _, irq, softirq, *_ = (
        Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    )
    return sum(map(int, (user, nice, system, irq, softirq))) / TICKS_PER_S


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text(encoding="utf-8").split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from tree(int(child))


def usage(pids: Iterable[int]) -> Usage:
    """Of these processes and their descendants."""
    everyone = {each for pid in pids for each in tree(pid)}
    return Usage(sum(map(cpu_s, everyone)), sum(map(pss_mb, everyone)))


def cpu_s(pid: int) -> float:
    """Processor seconds of one process and the children it has waited for; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_S


def pss_mb(pid: int) -> float:
    """Proportional set size of one process in MB (10^6); 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:")), 0.0)
