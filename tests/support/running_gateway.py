"""A real gateway process on a free port with a folder of its own, for tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.triton_server import eventually, free_ports

START_TIMEOUT_S = 30.0
EXIT_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class RunningGateway:
    """A serving gateway: its address, its process, its folder."""

    url: str
    process: subprocess.Popen[bytes]
    data_dir: Path
    log: Path

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        """Body of a GET."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return answer.read()

    def post(self, path: str, body: object) -> Any:
        """JSON answer of a POST."""
        return self.send("POST", path, body)[1]

    def send(self, method: str, path: str, body: object = None, *, token: str = "") -> tuple[int, Any]:
        """Status and JSON of any call, refusals too."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        request = urllib.request.Request(f"{self.url}{path}", content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def push(self, path: str, content: bytes) -> tuple[int, bool | None]:
        """Status of a pushed JPEG, and whether it was accepted."""
        request = urllib.request.Request(f"{self.url}{path}", content, {"Content-Type": "image/jpeg"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())["accepted"]
        except urllib.error.HTTPError as error:
            return error.code, None

    def add_camera(self, url: str, model: str, definition: Mapping[str, object] | None = None, fps: float = 5) -> str:
        """Put a camera with one zone-presence rule on record; its id."""
        camera = self.post("/api/v1/cameras", {"name": "camera", "url": url, "model": model, "fps": fps})
        rule = {"name": "presence", "definition": {"type": "zone_presence", **(definition or {})}}
        self.post(f"/api/v1/cameras/{camera['id']}/rules", rule)
        return camera["id"]

    def status(self, camera_id: str) -> Any:
        """How a camera is doing."""
        return self.get(f"/api/v1/cameras/{camera_id}")["status"]

    def wait_runtimes(self, count: int = 1) -> None:
        """Wait until that many runtimes take frames; a clip with `pace=max` would be over before."""
        eventually(lambda: [each["state"] for each in self.get("/api/v1/runtimes")["items"]] == ["ready"] * count, 20)

    def log_lines(self) -> list[dict[str, Any]]:
        """The structured log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(EXIT_TIMEOUT_S)


@contextlib.contextmanager
def running_gateway(
    data_dir: Path, *, port: int | None = None, env: Mapping[str, str] | None = None, config: str = ""
) -> Iterator[RunningGateway]:
    """Run `ruth-gateway serve` during the block; ended with SIGTERM, and checked to end well, unless it has ended."""
    port = port or free_ports(1)[0]
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / "gateway.log"
    (data_dir / "ruth.toml").write_text(config)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", "ruth.toml", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=data_dir,
            env={**os.environ, "RUTH_AI_DATA_DIR": str(data_dir), **(env or {})},
        )
    gateway = RunningGateway(f"http://127.0.0.1:{port}", process, data_dir, log)
    try:
        eventually(lambda: process.poll() is not None or _answers(gateway), START_TIMEOUT_S)
        assert process.poll() is None, f"the gateway ended with {process.returncode}:\n{log.read_text()}"
        yield gateway
    finally:
        if process.poll() is None:
            assert gateway.stop() == 0, log.read_text()[-3000:]


def _answers(gateway: RunningGateway) -> bool:
    try:
        return bool(gateway.fetch("/health"))
    except OSError:
        return False
