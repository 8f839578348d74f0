"""What the agent is told: options of the command line over environment variables over defaults, read once."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from triton_agent.errors import UsageError

WILDCARD_HOSTS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 # compared with, not bound to


class HardwareMode(StrEnum):
    """What the operator says about the hardware; AUTO looks for itself."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"
    JETSON = "jetson"


class ModelControl(StrEnum):
    """Triton's model control mode. Poll is left out on purpose: it reads half-written models."""

    NONE = "none"
    EXPLICIT = "explicit"


class AutoComplete(StrEnum):
    """Whether Triton derives what a model's configuration leaves out; WHEN_NEEDED: only if a configuration does."""

    WHEN_NEEDED = "when-needed"
    OFF = "off"


class OnFailure(StrEnum):
    """What happens when tritonserver can't load a model or dies."""

    RESTART = "restart"
    EXIT = "exit"


class Measuring(StrEnum):
    """Whether the agent finds out how fast models are; WHEN_LOADED: for a second or two, while nobody uses them."""

    WHEN_LOADED = "when-loaded"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Declared:
    """Limits that are declared to the gateway; None: as measured, or the hardware's default."""

    max_fps: int | None = None
    max_concurrent_streams: int | None = None
    batch_size: int | None = None

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Declared":
        """Limits as `AI_RUNTIME_MAX_FPS`, `AI_RUNTIME_MAX_CONCURRENT_STREAMS` and `AI_RUNTIME_BATCH_SIZE` give them.

        Raises:
            UsageError: One of them is not a whole number above zero.
        """
        return cls(
            positive(env, "AI_RUNTIME_MAX_FPS"),
            positive(env, "AI_RUNTIME_MAX_CONCURRENT_STREAMS"),
            positive(env, "AI_RUNTIME_BATCH_SIZE"),
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where tritonserver listens, and under which name others reach it."""

    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    advertised_host: str | None = None

    @property
    def reachable_host(self) -> str:
        """The host to declare: as advertised, else the bound address, else this machine's name."""
        return self.advertised_host or (socket.gethostname() if self.host in WILDCARD_HOSTS else self.host)

    @property
    def local_host(self) -> str:
        """The host under which the agent itself reaches the server."""
        return "127.0.0.1" if self.host in WILDCARD_HOSTS else self.host

    @property
    def http_url(self) -> str:
        """Triton's HTTP address for the agent."""
        return f"http://{self.local_host}:{self.http_port}"

    @property
    def metrics_url(self) -> str:
        """Address of Triton's metrics for the agent."""
        return f"http://{self.local_host}:{self.metrics_port}/metrics"

    @property
    def ports(self) -> dict[str, int]:
        """Port by the name of its option."""
        return {"grpc-port": self.grpc_port, "http-port": self.http_port, "metrics-port": self.metrics_port}


@dataclass(frozen=True, slots=True)
class Serving:
    """What tritonserver serves, and how."""

    model_repository: Path
    endpoint: Endpoint = Endpoint()
    model_control: ModelControl = ModelControl.EXPLICIT
    load_models: tuple[str, ...] = ()
    auto_complete: AutoComplete = AutoComplete.WHEN_NEEDED
    on_failure: OnFailure = OnFailure.RESTART
    model_config_name: str | None = None
    measuring: Measuring = Measuring.WHEN_LOADED

    @property
    def serves_without(self) -> bool:
        """Whether the others are served where a model can't be; Triton's own control takes all there are."""
        return self.on_failure is OnFailure.RESTART and self.model_control is ModelControl.EXPLICIT


@dataclass(frozen=True, slots=True)
class Gateway:
    """The gateway to register with.

    Attributes:
        url: Its base address, without a slash at the end.
        token: Bearer token, `RUTH_AI_RUNTIME_TOKEN`.
        heartbeat_s: Seconds between heartbeats until the gateway says otherwise.
    """

    url: str
    token: str | None = None
    heartbeat_s: float = 2.0

    @classmethod
    def from_environment(cls, url: str, env: Mapping[str, str]) -> "Gateway":
        """Read token and heartbeat (`RUTH_AI_HEARTBEAT_S`).

        Raises:
            UsageError: The address is not http(s), the heartbeat no number above zero, or the token's file unreadable.
        """
        if not _is_http(url):
            raise UsageError(f"--gateway is an http:// or https:// address, not {url!r}")
        text = env.get("RUTH_AI_HEARTBEAT_S", "2")
        try:
            heartbeat_s = float(text)
        except ValueError:
            heartbeat_s = 0.0
        if not 0 < heartbeat_s < float("inf"):
            raise UsageError(f"RUTH_AI_HEARTBEAT_S is a number of seconds above 0, not {text!r}")
        return cls(url.rstrip("/"), secret(env, "RUTH_AI_RUNTIME_TOKEN"), heartbeat_s)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port above 65535
        return False


def runtime_id(env: Mapping[str, str], grpc_port: int) -> str:
    """The name this runtime registers under: `RUTH_AI_RUNTIME_ID`, else one that is the same after every restart."""
    return env.get("RUTH_AI_RUNTIME_ID") or f"{socket.gethostname()}-{grpc_port}"


def positive(env: Mapping[str, str], name: str, most: int = 1_000_000) -> int | None:
    """A whole number from 1 to `most` from a variable; None if it is unset or empty.

    Raises:
        UsageError: It is something else; the message names the variable.
    """
    text = env.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise UsageError(f"{name} is a whole number from 1 to {most}, not {text!r}")
    return int(text)


def secret(env: Mapping[str, str], name: str) -> str | None:
    """A secret from the variable `name`, else from the file that `<name>_FILE` points at; None if neither is set.

    Raises:
        UsageError: The file can't be read.
    """
    if env.get(name):
        return env[name]
    path = env.get(f"{name}_FILE")
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{name}_FILE points at {path}, which can't be read: {error.strerror}") from error
