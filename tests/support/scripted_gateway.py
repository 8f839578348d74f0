"""A gateway under faults whose cameras see what a test says: started, killed and started again on one folder."""

import contextlib
import datetime as dt
import http.client
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.support.contract_models import HEIGHT, WIDTH
from tests.support.failpoints import start
from tests.support.history import Episode, History, Stored, faults
from tests.support.scripted_model import LABELS, picture_of
from tests.support.triton_server import eventually, free_ports

MODEL = "scripted"
HEARTBEAT_S = 0.2
STEP_S = 1.0  # of frame time between two pictures: more than the gate asks for, however fast they come
FOREVER_S = 86_400
READY_TIMEOUT_S = 30.0


class ScriptedGateway:
    """One gateway folder, its address and its history; at most one process at a time.

    Args:
        data_dir: The gateway's folder.
        env: Further environment variables of the process.
        history: Where what happens is written, shared with other gateways; a file of its own in the folder without.
        timeout_s: A call without an answer is given up then.
    """

    def __init__(
        self,
        data_dir: Path,
        env: Mapping[str, str] | None = None,
        history: History | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self.data_dir = data_dir
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self._env = {**(env or {}), "RUTH_AI_HEARTBEAT_S": str(HEARTBEAT_S)}
        data_dir.mkdir(parents=True, exist_ok=True)
        (data_dir / "ruth.toml").touch()
        self.history = history or History(data_dir / "history.jsonl")
        self._timeout_s = timeout_s
        self.process: BaseProcess | None = None
        self._labels = iter(())
        self._camera = ""
        self._frame_times: Iterator[float] = itertools.count(time.time(), STEP_S)

    def start(self, point: str = "", passing: int = 1, *, broken: bool = False, fresh: bool = False) -> None:
        """Start it, to die at a failpoint unless that is empty; doesn't wait."""
        self.process = start(
            self.data_dir,
            self.port,
            self.history.path,
            point,
            passing,
            env=self._env,
            broken=broken,
            fresh=fresh,
        )

    def share_frame_times(self, frame_times: Iterator[float]) -> None:
        """Take the times of pictures from a sequence that other gateways' pictures are in, too."""
        self._frame_times = frame_times

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.is_alive()

    def wait_ready(self) -> float:
        """Wait until frames can become violations, or it has died; how long, in seconds."""
        began_s = time.monotonic()
        eventually(lambda: not self.alive or self.request("GET", "/api/v1/health/ready")[0] == 200, READY_TIMEOUT_S)
        return time.monotonic() - began_s

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit status, below 0 for a signal."""
        assert self.process is not None
        if self.process.is_alive() and self.process.pid is not None:
            os.kill(self.process.pid, number)
        self.process.join(30)
        assert self.process.exitcode is not None, "it doesn't end"
        return self.process.exitcode

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a call; status 0 where no answer came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._timeout_s)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def post(self, path: str, body: object) -> Any:
        """JSON answer of a POST that is accepted."""
        status, answer = self.request("POST", path, json.dumps(body).encode(), **{"Content-Type": "application/json"})
        assert status == 201, (status, answer)
        return answer

    def new_camera(self, max_gap_s: float = FOREVER_S) -> str:
        """Make a camera with a rule for each label; its id."""
        camera = self.post("/api/v1/cameras", {"name": "scripted", "url": "push:", "model": MODEL, "fps": 2})["id"]
        for label in LABELS:
            definition = {"type": "zone_presence", "labels": [label], "min_duration_s": 0, "max_gap_s": max_gap_s}
            self.post(f"/api/v1/cameras/{camera}/rules", {"name": label, "definition": definition})
        return str(camera)

    def new_episode(self) -> Episode:
        """One that wasn't shown yet; for each `LABELS` of them a camera is made."""
        label = next(self._labels, None)
        if label is None:
            self._camera, self._labels = self.new_camera(), iter(LABELS)
            label = next(self._labels)
        return self._camera, label

    def show(self, episode: Episode, *, timed: bool = True) -> bool:
        """Send its camera one picture of it; whether it is looked at.

        Args:
            episode: What is shown.
            timed: Say when it was taken: `STEP_S` after the one before. Else the gateway takes the time itself.
        """
        camera, label = episode
        self.history.shown(episode)
        headers = {"Content-Type": "image/x-nv12"}
        if timed:
            headers["Frame-Time"] = dt.datetime.fromtimestamp(next(self._frame_times), dt.UTC).isoformat()
        path = f"/api/v1/cameras/{camera}/frames?width={WIDTH}&height={HEIGHT}"
        status, answer = self.request("POST", path, picture_of(label), **headers)
        return status == 202 and bool(answer["accepted"])

    def show_until_acknowledged(self, episode: Episode, timeout_s: float = 20.0, *, timed: bool = True) -> bool:
        """Send pictures until the spool has it or the process has died; whether the spool has it."""

        def settled() -> bool:
            if not self.alive or episode in self.history.all_acknowledged().values():
                return True
            self.show(episode, timed=timed)
            return False

        eventually(settled, timeout_s)
        return episode in self.history.all_acknowledged().values()

    def settle(
        self, stored: Callable[[], Sequence[Stored]], timeout_s: float = 60.0, *, timed: bool = True
    ) -> list[str]:
        """Show every episode once more, so that a second violation of it would come, and then what isn't on record.

        Args:
            stored: Reads what is on record, past the gateway.
            timeout_s: By then all must have come.
            timed: As of `show`.

        Returns:
            What the independent judge still finds wrong.
        """
        for episode in sorted(self.history.all_shown()):
            self._show_and_wait(episode, timed)
        deadline_s = time.monotonic() + timeout_s
        while (wrong := self._wrong(stored())) and time.monotonic() < deadline_s:
            on_record = {each.episode for each in stored()}
            for episode in self.history.all_shown() - on_record:
                self._show_and_wait(episode, timed)
        return wrong

    def _wrong(self, stored: Sequence[Stored]) -> list[str]:
        return faults(self.history.all_shown(), self.history.all_acknowledged(), stored)

    def _show_and_wait(self, episode: Episode, timed: bool) -> None:
        inferred = self._inferred(episode[0])

        def looked_at() -> bool:
            return self.show(episode, timed=timed) and self._inferred(episode[0]) > inferred

        eventually(lambda: looked_at() or not self.alive, 10)

    def _inferred(self, camera: str) -> int:
        return int(self.request("GET", f"/api/v1/cameras/{camera}")[1]["status"]["frames_inferred"])


@contextlib.contextmanager
def scripted_gateway(data_dir: Path, env: Mapping[str, str] | None = None) -> Iterator[ScriptedGateway]:
    """A gateway folder whose process, if one runs at the end, is killed."""
    gateway = ScriptedGateway(data_dir, env)
    try:
        yield gateway
    finally:
        if gateway.alive:
            gateway.kill()
        gateway.history.close()
