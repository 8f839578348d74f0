"""What the gateway asks of a Triton beside inference, and the Protocol that both gRPC and HTTP implement."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

CONTROL_TIMEOUT_S = 5.0
LOAD_TIMEOUT_S = 120.0


class ServedModel(msgspec.Struct, frozen=True):
    """One line of Triton's repository index.

    Attributes:
        name: The model's.
        version: Empty where none was ever loaded.
        state: `READY` or another word.
        reason: Why it isn't ready.
    """

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""

    @property
    def ready(self) -> bool:
        """Whether it is loaded."""
        return self.state == "READY"


class Tensor(msgspec.Struct, frozen=True):
    """An input or output: its type is such as `TYPE_UINT8`, its shape without the batch axis, -1 for any size."""

    name: str
    data_type: str
    dims: tuple[int, ...]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter's value."""

    string_value: str = ""


class InstanceGroup(msgspec.Struct, frozen=True):
    """So many instances, on each of the GPUs where any are named."""

    count: int = 0
    gpus: tuple[int, ...] = ()


class ModelConfig(msgspec.Struct, frozen=True):
    """What the gateway reads of Triton's `inference.ModelConfig`; the names are Triton's."""

    name: str
    max_batch_size: int = 0
    input: tuple[Tensor, ...] = ()
    output: tuple[Tensor, ...] = ()
    parameters: Mapping[str, Parameter] = {}
    instance_group: tuple[InstanceGroup, ...] = ()


class Duration(msgspec.Struct, frozen=True):
    """How often something was done, and the nanoseconds it took in all."""

    count: int = 0
    ns: int = 0


class Durations(msgspec.Struct, frozen=True):
    """Triton's `InferStatistics` or `InferBatchStatistics`, as far as the gateway reads them."""

    success: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


class ModelStatistics(msgspec.Struct, frozen=True):
    """Triton's `inference.ModelStatistics` of one model version, as far as the gateway reads them."""

    name: str
    version: str
    inference_count: int = 0
    inference_stats: Durations = Durations()
    batch_stats: tuple[Durations, ...] = ()


class TritonControl(Protocol):
    """Control of one Triton, over a connection to it.

    Every method but `close` may raise `RuntimeUnavailableError`, `InferenceTimeoutError`, and where the server refuses
    `InferenceRejectedError`.
    """

    async def is_ready(self) -> bool:
        """Whether the server answers and has finished starting."""
        ...

    async def index(self) -> Sequence[ServedModel]:
        """Every model version in the server's repository."""
        ...

    async def config(self, model: str) -> ModelConfig:
        """Configuration of a loaded model."""
        ...

    async def statistics(self) -> Sequence[ModelStatistics]:
        """Statistics of every loaded model version."""
        ...

    async def load(self, model: str) -> None:
        """Load, or reload, a model."""
        ...

    async def unload(self, model: str) -> None:
        """Unload a model."""
        ...

    async def register(self, region: str, byte_size: int) -> None:
        """Make a shared-memory region known to the server."""
        ...

    async def is_registered(self, region: str) -> bool:
        """Whether the server knows a shared-memory region; it forgets all of them when it restarts."""
        ...

    async def unregister(self, region: str) -> None:
        """Make the server forget a region; no call may be using it."""
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...
