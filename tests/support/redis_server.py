"""A private Redis server from the distribution's binary, which keeps nothing."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.triton_server import eventually, free_ports


class PrivateRedis:
    """A server that can be killed, and started again empty."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self.port = free_ports(1)[0]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([self._binary, *arguments], stdout=subprocess.DEVNULL)
        eventually(self._answers, 20)

    def kill(self) -> None:
        """Kill it; what it had is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it hang during the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Have it forget everything, running on."""
        self.command("flushall")

    def command(self, *words: str) -> str:
        """What it answers."""
        client = shutil.which("redis-cli") or "redis-cli"
        done = subprocess.run([client, "-p", str(self.port), *words], capture_output=True, check=False)
        return done.stdout.decode().strip()

    def _answers(self) -> bool:
        return self.command("ping") == "PONG"


@contextlib.contextmanager
def private_redis() -> Iterator[PrivateRedis]:
    """Run a server during the block; skips where there is none."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server isn't installed")
    server = PrivateRedis(binary)
    server.start()
    try:
        yield server
    finally:
        server.kill()
