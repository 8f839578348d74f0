"""How fast a served model is: a short load on the real server, with noise of the model's own input shape."""

import contextlib
import http.client
import json
import math
import os
import random
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from triton_agent.errors import UnreachableError
from triton_agent.triton_api import TritonApi

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 # Linux' fixed place
WARM_UP_S, ALONE_S, SATURATED_S = 0.2, 0.3, 0.8
LEAST_REQUESTS = 6  # so that a model slower than the times above is measured, too
LONGEST_S = 2.0  # for each of the three, whatever the model is like, but for its last answers
REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What one model did.

    Attributes:
        fps: Frames/s while requests always waited.
        p95_ms: 95th percentile of the time from request to answer while no other was on its way.
        batch_size: Frames in each request.
    """

    fps: float
    p95_ms: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class Measurable:
    """What has to be known of a model to put it under load.

    Attributes:
        name: Triton's name of it.
        version: Of its versions the one to call.
        dims: Shape of its input `frames` without the batch axis.
        max_batch_size: As configured.
        instances: How many requests it can run at once.
    """

    name: str
    version: str
    dims: tuple[int, ...]
    max_batch_size: int
    instances: int

    @classmethod
    def of(cls, config: dict[str, Any], version: str) -> "Measurable | None":
        """Read Triton's model configuration; None for a model that takes no frames (it keeps no `ruth.contract`)."""
        frames = next((tensor for tensor in config.get("input", ()) if tensor["name"] == "frames"), None)
        if frames is None or "ruth.contract" not in config.get("parameters", {}):
            return None
        dims = tuple(int(size) for size in frames["dims"])
        if frames["data_type"] != "TYPE_UINT8" or min(dims) < 1:
            return None
        groups = config.get("instance_group", ())
        instances = sum(group.get("count", 1) * max(1, len(group.get("gpus", ()))) for group in groups)
        return cls(config["name"], version, dims, int(config.get("max_batch_size", 0)), max(1, instances))


def measure(api: TritonApi, model: Measurable, batch_size: int, region: str) -> Measured:
    """Load one model for a second or two: first one request at a time, then one more than its instances can run.

    Args:
        api: The server.
        model: What to load.
        batch_size: Frames in a request; less where the model takes less.
        region: Name for a region of shared memory, free to use.

    Raises:
        UnreachableError: The server doesn't answer, or refuses the model's frames.
    """
    batch = max(1, min(batch_size, model.max_batch_size))
    byte_size = batch * math.prod(model.dims)
    with _frames(api, region, byte_size) as body:
        request = _request(model, batch, byte_size, body)
        _load(api.url, request, model.instances, WARM_UP_S)
        alone = _load(api.url, request, 1, ALONE_S)
        saturated = _load(api.url, request, model.instances + 1, SATURATED_S)
    steady = saturated[model.instances :]  # the first came while the server was filling up
    if not alone or len(steady) < 2:
        raise UnreachableError(f"it answers too slowly: next to nothing within {LONGEST_S:g} s")
    latencies_s = sorted(answer.latency_s for answer in alone)
    p95_s = latencies_s[math.ceil(len(latencies_s) * 0.95) - 1]
    fps = (len(steady) - 1) * batch / (steady[-1].at_s - steady[0].at_s)
    return Measured(round(fps, 2), round(p95_s * 1000, 3), batch)


@dataclass(frozen=True, slots=True)
class _Answer:
    at_s: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class _Request:
    path: str
    body: bytes
    headers: dict[str, str]


@contextlib.contextmanager
def _frames(api: TritonApi, region: str, byte_size: int) -> Generator[bytes | str]:
    """Noise in a registered region of shared memory (its name), or itself where the server takes none."""
    noise = random.randbytes(byte_size)  # noqa: S311 # pixels, no secret
    path = SHARED_MEMORY / region
    try:
        _create(path, noise)
        shared = api.register_shared_memory(region, byte_size)
    except OSError:  # no room, or no shared memory
        shared = False
    try:
        yield region if shared else noise
    finally:
        if shared:
            api.unregister_shared_memory(region)
        path.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)


def _request(model: Measurable, batch: int, byte_size: int, frames: bytes | str) -> _Request:
    where = (
        {"shared_memory_region": frames, "shared_memory_byte_size": byte_size}
        if isinstance(frames, str)
        else {"binary_data_size": byte_size}
    )
    head = json.dumps(
        {
            "inputs": [{"name": "frames", "shape": [batch, *model.dims], "datatype": "UINT8", "parameters": where}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    body = head if isinstance(frames, str) else head + frames
    path = f"/v2/models/{quote(model.name, safe='')}/versions/{model.version}/infer"
    return _Request(path, body, {"Inference-Header-Content-Length": str(len(head))})


def _load(url: str, request: _Request, concurrency: int, seconds: float) -> list[_Answer]:
    """Keep so many requests on their way for so long, and until `LEAST_REQUESTS` were answered if time allows.

    Returns:
        The answers that came while all were on their way, in order.
    """
    answers: list[_Answer] = []
    failures: list[Exception] = []
    ended_s: list[float] = []
    began_s = time.monotonic()

    def lane() -> None:
        try:
            with _connected(url) as connection:
                while not failures and _goes_on(time.monotonic() - began_s, seconds, len(answers)):
                    answers.append(_ask(connection, request))
                ended_s.append(time.monotonic())
        except (OSError, http.client.HTTPException, UnreachableError) as error:
            failures.append(error)

    lanes = [threading.Thread(target=lane, name=f"measure-{k}") for k in range(concurrency)]
    for each in lanes:
        each.start()
    for each in lanes:
        each.join()
    if failures:
        raise UnreachableError(str(failures[0])) from failures[0]
    return sorted((answer for answer in answers if answer.at_s <= min(ended_s)), key=lambda answer: answer.at_s)


def _goes_on(passed_s: float, seconds: float, answered: int) -> bool:
    return passed_s < (seconds if answered >= LEAST_REQUESTS else LONGEST_S)


@contextlib.contextmanager
def _connected(url: str) -> Generator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REQUEST_TIMEOUT_S)
    try:
        yield connection
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, request: _Request) -> _Answer:
    began_s = time.monotonic()
    connection.request("POST", request.path, request.body, request.headers)
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        raise UnreachableError(f"HTTP {reply.status} {body[:200].decode(errors='replace')}")
    at_s = time.monotonic()
    return _Answer(at_s, at_s - began_s)
