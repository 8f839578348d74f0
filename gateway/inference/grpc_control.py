"""Control of one Triton, over gRPC, with its errors mapped to the gateway's.

gRPC is imported where HTTP doesn't serve: see `docs/adr/0162-grpc-is-imported-where-http-does-not-serve.md`.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import grpc
import msgspec
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from gateway.errors import InferenceError, InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from gateway.inference.control import CONTROL_TIMEOUT_S, LOAD_TIMEOUT_S, ModelConfig, ModelStatistics, ServedModel
from gateway.inference.grpc_transport import CHANNEL_OPTIONS

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class GrpcControl:
    """One gRPC channel to one Triton. Implements `gateway.inference.control.TritonControl`.

    Args:
        grpc_url: `host:port`.
    """

    def __init__(self, grpc_url: str) -> None:
        self._client = InferenceServerClient(grpc_url.removeprefix("grpc://"), channel_args=CHANNEL_OPTIONS)

    async def is_ready(self) -> bool:
        """Whether the server answers and has finished starting."""
        return bool(await _mapped(self._client.is_server_ready(client_timeout=CONTROL_TIMEOUT_S)))

    async def index(self) -> Sequence[ServedModel]:
        """Every model version in the server's repository."""
        answer = await _mapped(self._client.get_model_repository_index(client_timeout=CONTROL_TIMEOUT_S))
        return [ServedModel(m.name, m.version, m.state, m.reason) for m in answer.models]

    async def config(self, model: str) -> ModelConfig:
        """Configuration of a loaded model."""
        answer = await _mapped(self._client.get_model_config(model, client_timeout=CONTROL_TIMEOUT_S))
        return _value(answer.config, ModelConfig)

    async def statistics(self) -> Sequence[ModelStatistics]:
        """Statistics of every loaded model version."""
        answer = await _mapped(self._client.get_inference_statistics(client_timeout=CONTROL_TIMEOUT_S))
        return [_value(entry, ModelStatistics) for entry in answer.model_stats]

    async def load(self, model: str) -> None:
        """Load, or reload, a model."""
        await _mapped(self._client.load_model(model, client_timeout=LOAD_TIMEOUT_S))

    async def unload(self, model: str) -> None:
        """Unload a model."""
        await _mapped(self._client.unload_model(model, client_timeout=LOAD_TIMEOUT_S))

    async def register(self, region: str, byte_size: int) -> None:
        """Make a shared-memory region known to the server; `InferenceRejectedError` where it refuses."""
        await _mapped(
            self._client.register_system_shared_memory(
                region, f"/{region}", byte_size, client_timeout=CONTROL_TIMEOUT_S
            )
        )

    async def is_registered(self, region: str) -> bool:
        """Whether the server knows a shared-memory region; it forgets all of them when it restarts."""
        answer = await _mapped(self._client.get_system_shared_memory_status(client_timeout=CONTROL_TIMEOUT_S))
        return region in answer.regions

    async def unregister(self, region: str) -> None:
        """Make the server forget a region; no call may be using it."""
        await _mapped(self._client.unregister_system_shared_memory(region, client_timeout=CONTROL_TIMEOUT_S))

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()


def _value(message: Any, kind: type[_Struct]) -> _Struct:  # noqa: ANN401 - tritonclient's messages carry no types
    """A message as one of our values; protobuf's JSON has 64-bit numbers as text."""
    return msgspec.convert(MessageToDict(message, preserving_proto_field_name=True), kind, strict=False)


async def _mapped(call: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - tritonclient's answers carry no types
    try:
        return await call
    except InferenceServerException as error:
        raise _error(error) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # grpc.aio cancels its own calls when the channel breaks; nobody cancelled us.
        raise RuntimeUnavailableError("the connection to the inference server broke") from None
    except grpc.aio.UsageError as error:  # a runtime that was let go of while one of its frames was being scaled
        raise RuntimeUnavailableError("the connection to the inference server was closed") from error
    except grpc.RpcError as error:
        raise RuntimeUnavailableError(f"the connection to the inference server broke: {error}") from error


def _error(error: InferenceServerException) -> InferenceError:
    message = error.message() or "no reason given"
    if "timeout expired" in message.lower():  # the server's queue policy gave the request up, with status UNAVAILABLE
        return InferenceTimeoutError("the request waited longer than its deadline in the server's queue")
    match error.status():
        case "StatusCode.DEADLINE_EXCEEDED":
            return InferenceTimeoutError("no answer before the frame's deadline")
        case "StatusCode.UNAVAILABLE" | "StatusCode.CANCELLED" | "StatusCode.UNKNOWN":
            return RuntimeUnavailableError(f"the inference server can't be reached: {message}")
        case _:
            return InferenceRejectedError(message)
