"""What a dead agent may have left: regions in `/dev/shm` and Python-backend stubs, found by the name they carry.

The regions of an agent are called `ruth_triton_<pid namespace>_<pid>_<start time>_…`. A process id alone is reused;
with the start time (clock ticks since boot) it names one process for as long as the machine is up, and the namespace
keeps a container that shares `/dev/shm` from judging processes it can't see. Stubs carry the region's name on their
command line.
"""

import os
import re
import signal
from pathlib import Path

from triton_agent.keeper import START_TIME, process_ids, process_stat, remove_regions

PREFIX = re.compile(r"(ruth_triton_(\d+)_(\d+)_(\d+)_)")


def region_prefix(pid: int) -> str:
    """The prefix of every shared-memory region that belongs to the agent with this process id."""
    return f"ruth_triton_{_pid_namespace()}_{pid}_{process_stat(pid)[START_TIME]}_"


def measurement_region() -> str:
    """The region in which this agent puts frames of its own, to measure with."""
    return f"{region_prefix(os.getpid())}measurement"


def sweep_dead_agents(folder: Path = Path("/dev/shm")) -> list[str]:  # noqa: S108 # Linux' fixed place
    """Kill the stubs and remove the regions of agents that are provably dead; returns the prefixes cleaned up."""
    if not folder.is_dir():
        return []
    found = {match[1] for path in folder.glob("ruth_triton_*") if (match := PREFIX.match(path.name)) and _is_ours(path)}
    dead = sorted(prefix for prefix in found if _owner_is_dead(prefix))
    for prefix in dead:
        _kill_carriers(prefix)
        remove_regions(prefix, folder)
    return dead


def _is_ours(path: Path) -> bool:
    """Whether the file is this user's: others' can't be removed, nor can their processes always be seen."""
    try:
        return path.stat().st_uid == os.getuid()
    except FileNotFoundError:
        return False


def _owner_is_dead(prefix: str) -> bool:
    namespace, pid, start_time = prefix.removeprefix("ruth_triton_").rstrip("_").split("_")
    if int(namespace) != _pid_namespace():
        return False
    try:
        return process_stat(int(pid))[START_TIME] != start_time
    except ProcessLookupError:
        return True


def _kill_carriers(prefix: str) -> None:
    for pid in process_ids():
        try:
            if pid != os.getpid() and prefix.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
