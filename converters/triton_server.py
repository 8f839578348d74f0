"""A real Triton for a trial: starts `ruth-triton serve` on a folder, asks it, ends it."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from converters.cpu_stand_in import servable_here
from converters.errors import MissingError, ModelError

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
INFER_TIMEOUT_S = 60.0
_POLL_S = 0.05
_PORTS = range(20_000, 32_000)
_GATEWAY_VARIABLE = "RUTH_AI_GATEWAY_URL"
"""Left out of a trial's environment: a gateway must not schedule onto it."""
_LOG = {"RUTH_AI_LOG_FORMAT": "text", "RUTH_AI_LOG_LEVEL": "warn"}
"""What is left of the log is for people: it becomes part of an error message."""
_AGENT = "ruth-triton: "
_MISSING = 3
"""Exit status of `ruth-triton` when it has no tritonserver."""


@dataclass(frozen=True, slots=True)
class TrialServer:
    """A running Triton with its models loaded.

    Attributes:
        grpc_url: `host:port`.
    """

    grpc_url: str

    def infer(
        self, name: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], version: int | None = None
    ) -> tuple[NDArray[Any], ...]:
        """Send tensors by name, batch axis included, and return the asked outputs in their order.

        Without a version the newest that is loaded answers.

        Raises:
            ModelError: Triton refuses or fails the request.
        """
        tensors = [_tensor(key, value) for key, value in inputs.items()]
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                answer: Any = client.infer(name, tensors, str(version or ""), client_timeout=INFER_TIMEOUT_S)
            except triton.InferenceServerException as error:
                raise ModelError(f"Triton loaded {name} but can't run it: {error.message()}") from error
        return tuple(answer.as_numpy(output) for output in outputs)

    def exchange(self, old: str, new: str) -> None:
        """Unload one model and load another, once the memory of the first is free: that takes Triton a second or two.

        Args:
            old: The one that is loaded.
            new: The other.

        Raises:
            ModelError: Triton can't load it; the message holds its reason.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        with triton.InferenceServerClient(self.grpc_url) as client:
            try:
                client.unload_model(old, client_timeout=INFER_TIMEOUT_S)
                while not _unloaded(client, old) and time.monotonic() < deadline:
                    time.sleep(_POLL_S)
                client.load_model(new, client_timeout=READY_TIMEOUT_S)
            except triton.InferenceServerException as error:
                raise ModelError(f"Triton can't load {new}: {error.message()}") from error


def _unloaded(client: triton.InferenceServerClient, name: str) -> bool:
    index: Any = client.get_model_repository_index()
    return all(model.state == "UNAVAILABLE" for model in index.models if model.name == name)


def _tensor(name: str, value: NDArray[Any]) -> triton.InferInput:
    tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    tensor.set_data_from_numpy(np.ascontiguousarray(value))
    return tensor


@contextmanager
def trial_server(
    repository: Path, names: Sequence[str], *, loaded: Sequence[str] | None = None
) -> Generator[TrialServer]:
    """Serve models of a folder by a Triton of its own, on free loopback ports; without a GPU here, all on the CPU.

    Args:
        repository: The folder.
        names: The models that are to be served.
        loaded: Those of them that are loaded to begin with; all, where absent.

    Raises:
        MissingError: There is no `ruth-triton`, or no tritonserver for it.
        ModelError: Triton can't load one of them; the message holds its reason.
    """
    loaded = names if loaded is None else loaded
    http, grpc, metrics = _free_ports(3)
    environment = {key: value for key, value in os.environ.items() if key != _GATEWAY_VARIABLE} | _LOG
    with TemporaryFile() as log, servable_here(repository, names) as served:
        # It ends with us by --end-with. By preexec_fn, Ctrl-C would be lost: Python drops what a signal handler raises
        # in the hooks that it then runs around the fork.
        process = subprocess.Popen(
            _serve_command(served, loaded, http, grpc, metrics),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches it through us, once
            env=environment,
        )
        try:
            deadline = time.monotonic() + READY_TIMEOUT_S
            for name in loaded:
                _wait_until_ready(process, f"http://127.0.0.1:{http}/v2/models/{name}/ready", log, deadline)
            yield TrialServer(f"127.0.0.1:{grpc}")
        finally:
            _stop(process)


def _serve_command(repository: Path, names: Sequence[str], http: int, grpc: int, metrics: int) -> list[str]:
    return [
        *(ruth_triton(), "serve", "--model-repository", str(repository), "--model-control", "explicit"),
        *(f"--load-model={name}" for name in names),
        *("--no-auto-complete", "--no-restart", "--end-with", str(os.getpid())),
        *("--http-port", str(http), "--grpc-port", str(grpc), "--metrics-port", str(metrics)),
    ]


def ruth_triton() -> str:
    """Return the agent of this very environment, else the one on PATH.

    Raises:
        MissingError: There is none.
    """
    beside = Path(sys.executable).parent
    found = shutil.which("ruth-triton", path=str(beside)) or shutil.which("ruth-triton")
    if found is None:
        raise MissingError(
            "ruth-triton is not installed; install this project with its agent: pip install ruth-ai[agent]"
        )
    return found


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: IO[bytes], deadline: float) -> None:
    while time.monotonic() < deadline:
        status = process.poll()
        if status == _MISSING:
            raise MissingError(f"no Triton to try the model in: {_reason(log)}")
        if status is not None:
            raise ModelError(f"Triton can't load it: {_reason(log)}")
        if _answers(url):
            return
        time.sleep(_POLL_S)
    raise ModelError(f"Triton did not get ready within {READY_TIMEOUT_S:g} s: {_reason(log)}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  # a loopback URL made here
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _reason(log: IO[bytes]) -> str:
    """What `ruth-triton` said last: its own message where it gave one, else the end of the log."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    own = [line.removeprefix(_AGENT) for line in lines if line.startswith(_AGENT)]
    return own[-1] if own else "\n".join(lines[-12:]) or "it gave no reason"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the agent and, if it does not end, its whole process group."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Return loopback ports that were free a moment ago, all different.

    They lie below the range that the kernel deals out to clients and to `bind` with port 0, so that no other process
    is dealt one of them before the server has it.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = _PORTS.start + secrets.randbelow(len(_PORTS))
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
