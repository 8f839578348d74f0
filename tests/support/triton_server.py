"""A real tritonserver under its agent, for tests: started on free ports, ended cleanly, nothing left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triton_agent.leftovers import region_prefix
from triton_agent.triton_api import TritonApi

READY_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class RunningTriton:
    """A serving agent: its addresses, its process, and the prefix that all its processes and regions carry."""

    grpc_url: str
    http_url: str
    metrics_url: str
    process: subprocess.Popen[bytes]
    prefix: str
    log: Path

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        return self.process.pid

    @property
    def api(self) -> TritonApi:
        """Asks the server."""
        return TritonApi(self.http_url)

    def processes(self) -> dict[int, str]:
        """Command line by process id of keeper, tritonserver and stubs."""
        return carriers(self.prefix)

    def server_pid(self) -> int:
        """Process id of tritonserver itself, which its agent may be starting anew."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [pid for pid, line in self.processes().items() if line.split("\0")[0].endswith("/tritonserver")]
            return bool(found)

        eventually(look, READY_TIMEOUT_S)
        return found[0]

    def wait_ready(self) -> None:
        """Wait until it serves."""
        eventually(lambda: self.process.poll() is not None or self.api.ready(), READY_TIMEOUT_S)
        if self.process.poll() is not None:
            raise AssertionError(f"ruth-triton ended with {self.process.returncode}:\n{self.log.read_text()}")

    def leftovers(self) -> tuple[dict[int, str], list[Path]]:
        """Processes and shared-memory regions that carry the prefix; both empty once it has ended."""
        return self.processes(), list(Path("/dev/shm").glob(f"{self.prefix}*"))


@contextlib.contextmanager
def running_triton(
    model_repository: Path,
    *,
    load: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    measured: bool = False,
    **options: object,
) -> Iterator[RunningTriton]:
    """Run `ruth-triton serve` on free ports during the block, ready at its beginning, without a trace at its end.

    Args:
        model_repository: What to serve.
        load: Names of the models to load; all by default.
        env: Further environment variables.
        measured: Whether models are measured first, which on a busy machine lowers what is declared.
        options: Further options of the command: `gateway="http://…"`, `no_auto_complete=True`.
    """
    http, grpc, metrics = free_ports(3)
    command = [sys.executable, "-m", "triton_agent.cli", "serve", f"--model-repository={model_repository}"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--hardware=cpu"]
    command += [f"--load-model={name}" for name in load]
    command += [] if measured else ["--no-measure"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        command.append(option if value is True else f"{option}={value}")
    with tempfile.NamedTemporaryFile(prefix="ruth-triton-", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "RUTH_AI_LOG_FORMAT": "json", **(env or {})},
        )
        triton = RunningTriton(
            f"127.0.0.1:{grpc}",
            f"http://127.0.0.1:{http}",
            f"http://127.0.0.1:{metrics}/metrics",
            process,
            region_prefix(process.pid),
            Path(log.name),
        )
        try:
            triton.wait_ready()
            yield triton
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(EXIT_TIMEOUT_S)
            eventually(lambda: triton.leftovers() == ({}, []), EXIT_TIMEOUT_S)


def carriers(text: str) -> dict[int, str]:
    """Command line (separated by NUL) by process id of every living process whose command line holds the text."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                line = (entry / "cmdline").read_text(errors="replace")  # empty for a zombie
                if text in line:
                    found[int(entry.name)] = line
    return found


def freeze(pid: int) -> None:
    """Stop a process, and wait until none of its threads runs: that takes a moment on a busy machine."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    eventually(lambda: all("State:\tT" in (task / "status").read_text() for task in tasks.iterdir()), 10)


def free_ports(count: int) -> list[int]:
    """TCP ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def eventually(condition, timeout_s: float) -> None:
    """Wait until the condition holds; looks less often with time, as looking takes the processor from what is awaited.

    Raises:
        AssertionError: It does not within the time.
    """
    began_s = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began_s
        assert waited_s < timeout_s, f"not within {timeout_s} s"
        time.sleep(min(0.05, max(0.01, waited_s / 20)))
