"""The process between the agent and tritonserver: whatever dies, nothing of the server outlives it.

The agent runs this file by its path (`python -I -S keeper.py REGION_PREFIX COMMAND…`: ready in 15 ms, so only the
standard library) in a session of its own and holds the other end of its standard input. One byte there asks
tritonserver to end, end of file orders it killed: that is also what the kernel says when the agent itself was killed.
After tritonserver has gone the keeper kills what is left of the session, reaps it (it is their subreaper), and removes
the shared-memory regions and the empty folders in /tmp.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
REAP_TIMEOUT_S = 5.0
START_TIME = 19  # index in `process_stat`: ticks since boot


def process_ids() -> Iterator[int]:
    """Ids of all processes that this one can see."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def process_stat(pid: int) -> list[str]:
    """Fields of `/proc/PID/stat` behind the command name: state, ppid, pgrp, session, … (proc_pid_stat(5), field 3 on).

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error


def kill_session(session: int) -> list[int]:
    """Kill every process of a session but this one; returns their ids, empty when none was left."""
    killed: list[int] = []
    for pid in process_ids():
        try:
            if pid != os.getpid() and int(process_stat(pid)[3]) == session:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        except ProcessLookupError:
            continue
    return killed


def remove_regions(prefix: str, folder: Path = Path("/dev/shm")) -> list[str]:  # noqa: S108 # Linux' fixed place
    """Remove the shared-memory regions whose names begin with `prefix`; returns their names."""
    names = [path.name for path in folder.glob(f"{prefix}*")]
    for name in names:
        (folder / name).unlink(missing_ok=True)
    return names


def remove_environments(older_than: float, folder: Path = Path("/tmp")) -> None:  # noqa: S108 # compiled into Triton
    """Remove the empty folders that Triton's Python backend makes for itself and leaves when it is killed.

    Args:
        older_than: Unix time; younger ones may belong to a server that runs.
        folder: Where they are.
    """
    for path in folder.glob("python_env_??????"):
        with contextlib.suppress(OSError):  # not empty, not ours, or gone
            if path.stat().st_uid == os.getuid() and path.stat().st_mtime < older_than:
                path.rmdir()


def oldest_backend_start() -> float:
    """Unix time at which the oldest living process with Triton's Python backend in it began; infinity without one."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    oldest = float("inf")
    for pid in process_ids():
        with contextlib.suppress(OSError):  # not ours, or gone
            if b"/libtriton_python.so" in Path(f"/proc/{pid}/maps").read_bytes():
                ticks = int(process_stat(pid)[START_TIME])
                oldest = min(oldest, booted + ticks / os.sysconf("SC_CLK_TCK"))
    return oldest


def end_with_parent(parent: int) -> bool:
    """Have the kernel ask this process to end (SIGTERM) when its parent ends; False if that has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return os.getppid() == parent


def launch(command: list[str]) -> int:
    """Start the command in its own process group, to be killed by the kernel if this process is; returns its id."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # it did so itself, or has ended
            os.setpgid(pid, pid)
        return pid
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if os.getppid() == keeper:  # else it died before the kernel was told
        try:
            os.execv(command[0], command)  # noqa: S606 # no shell is wanted
        except OSError as error:
            print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 # standard error is the agent's log
    os._exit(127)


def watch(pid: int, lifeline: int) -> int:
    """Wait for the child's end, passing on what the lifeline says; returns the raw wait status."""
    descriptor = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(lifeline, select.POLLIN)
    while descriptor not in (ready := {number for number, _ in poll.poll()}):
        if lifeline in ready and os.read(lifeline, 1):
            os.kill(pid, signal.SIGTERM)
        else:
            os.killpg(pid, signal.SIGKILL)
            poll.unregister(lifeline)
    return os.waitpid(pid, 0)[1]


def reap(deadline: float) -> None:
    """Collect every child, own and adopted, until none is left or the monotonic clock passes `deadline`."""
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.005)
        except ChildProcessError:
            return


def main(prefix: str, *command: str) -> int:
    """Run the command to its end and leave nothing of it behind; returns its exit status, 128 + N for signal N."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # only the agent decides, through the lifeline
    status = watch(launch(list(command)), sys.stdin.fileno())
    kill_session(os.getsid(0))
    reap(time.monotonic() + REAP_TIMEOUT_S)
    remove_regions(prefix)
    remove_environments(oldest_backend_start())
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
