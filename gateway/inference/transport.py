"""How one request travels to Triton: what is asked, and the Protocol that both gRPC and HTTP implement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from gateway.domain.frame import UInt8Array
from gateway.errors import InferenceError, InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError

MAX_ANSWER_BYTES = 64 << 20
"""No model's answer to one frame is larger; one that is isn't read to its end."""

UNKNOWN_END_S = 30.0
"""A call that was given up without word of its end is taken to have ended after this many seconds."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where in a registered shared-memory region a tensor lies: offset and size in bytes."""

    name: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What is asked of a model, again and again: all but the deadline.

    Attributes:
        model: Triton's name of the model; its served version answers.
        shape: Shape of the input `frames` (UINT8), batch axis first.
        frames: Where its bytes lie: in shared memory, or here, to be sent along.
        outputs: The outputs wanted, by name, and where the server writes each; None: into the answer.
    """

    model: str
    shape: tuple[int, ...]
    frames: Region | UInt8Array
    outputs: Mapping[str, Region | None]


Answer: TypeAlias = Mapping[str, bytes | memoryview]
"""Raw little-endian bytes of the outputs that travelled in the answer, by name."""


class Request(Protocol):
    """A call made ready; on its way once at a time."""

    @property
    def ended(self) -> bool:
        """Whether the server has let go of the call's memory: false while a given-up call may still read or write."""
        ...

    async def send(self, timeout_s: float) -> Answer:
        """Ask, and wait for the answer. Cancelling gives the call up.

        Args:
            timeout_s: When the answer is worth nothing any more; the server gives it up in its queue by then, too.

        Raises:
            RuntimeUnavailableError: The server can't be reached, or was lost before it answered.
            InferenceTimeoutError: No answer within `timeout_s`.
            InferenceRejectedError: The server refused the request.
        """
        ...


class InferenceTransport(Protocol):
    """Requests to one server; used from one event loop."""

    def prepare(self, call: Call) -> Request:
        """Make a call ready, once for its many sends."""
        ...

    async def close(self) -> None:
        """Close every connection; requests on their way fail with `RuntimeUnavailableError`."""
        ...


def timeout_microseconds(timeout_s: float) -> int:
    """Triton's request parameter `timeout`: how long a request may wait in its model's queue; 0 would be for ever."""
    return max(1, int(timeout_s * 1e6))


def refusal(message: str, *, unavailable: bool) -> InferenceError:
    """The error behind a refusal in Triton's words; `unavailable` is its status, which stands for several things."""
    if "timeout expired" in message.lower():
        return InferenceTimeoutError("the request waited longer than its deadline in the server's queue")
    if unavailable and "maximum queue size" not in message:
        return RuntimeUnavailableError(f"the inference server can't take requests: {message}")
    return InferenceRejectedError(message)
