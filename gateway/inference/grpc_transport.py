"""Requests to Triton over gRPC, for runtimes whose HTTP address isn't known or can't be reached."""

import asyncio
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.errors import InferenceError, InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from gateway.inference.transport import (
    MAX_ANSWER_BYTES,
    UNKNOWN_END_S,
    Answer,
    Call,
    Region,
    refusal,
    timeout_microseconds,
)

# The server answers faster pings than one in five minutes with GOAWAY, so the channel sends none of its own.
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GrpcTransport:
    """One channel to one server.

    Args:
        grpc_url: `host:port`.
    """

    def __init__(self, grpc_url: str) -> None:
        self._channel = grpc.aio.insecure_channel(grpc_url.removeprefix("grpc://"), options=CHANNEL_OPTIONS)
        self._infer = service_pb2_grpc.GRPCInferenceServiceStub(self._channel).ModelInfer

    def prepare(self, call: Call) -> "GrpcRequest":
        """Render a call."""
        return GrpcRequest(self._infer, call)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()


class GrpcRequest:
    """A call as a protobuf; deadline and inline frames are filled in for each send."""

    def __init__(self, infer: Any, call: Call) -> None:  # noqa: ANN401 - generated code carries no types
        self._infer = infer
        self._message = service_pb2.ModelInferRequest(  # pyright: ignore[reportAttributeAccessIssue]
            model_name=call.model
        )
        self._wanted = tuple(name for name, region in call.outputs.items() if region is None)
        self._frames = None if isinstance(call.frames, Region) else call.frames
        frames = self._message.inputs.add(name="frames", datatype="UINT8", shape=call.shape)
        if isinstance(call.frames, Region):
            _refer(frames.parameters, call.frames)
        for name, region in call.outputs.items():
            output = self._message.outputs.add(name=name)
            if region is not None:
                _refer(output.parameters, region)
        self._on_its_way = False
        self._unknown_until_s = 0.0

    @property
    def ended(self) -> bool:
        """Whether the server has let go of the call's memory."""
        return not self._on_its_way and asyncio.get_running_loop().time() >= self._unknown_until_s

    async def send(self, timeout_s: float) -> Answer:
        """Ask, and wait for the answer."""
        self._message.parameters["timeout"].int64_param = timeout_microseconds(timeout_s)
        if self._frames is not None:
            self._message.ClearField("raw_input_contents")
            self._message.raw_input_contents.append(self._frames.tobytes())
        self._on_its_way, self._unknown_until_s = True, asyncio.get_running_loop().time() + UNKNOWN_END_S
        try:
            answer = await self._ask(timeout_s)
        except InferenceRejectedError:
            self._unknown_until_s = 0.0
            raise
        finally:
            self._on_its_way = False
        self._unknown_until_s = 0.0
        # What was written into shared memory stands there as well, empty.
        tensors = dict(zip((output.name for output in answer.outputs), answer.raw_output_contents, strict=False))
        if missing := [name for name in self._wanted if name not in tensors]:
            raise InferenceRejectedError(f"the answer lacks {', '.join(missing)}")
        return {name: tensors[name] for name in self._wanted}

    async def _ask(self, timeout_s: float) -> Any:  # noqa: ANN401 - as above
        try:
            return await self._infer(self._message, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise _error(error) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # grpc.aio cancels its own calls when the channel breaks; nobody cancelled us.
            raise RuntimeUnavailableError("the connection to the inference server broke") from None
        except grpc.aio.UsageError as error:
            raise RuntimeUnavailableError("the connection to the inference server was closed") from error


def _refer(parameters: Any, region: Region) -> None:  # noqa: ANN401 - as above
    parameters["shared_memory_region"].string_param = region.name
    parameters["shared_memory_offset"].int64_param = region.offset
    parameters["shared_memory_byte_size"].int64_param = region.byte_size


def _error(error: grpc.aio.AioRpcError) -> InferenceError:
    message = error.details() or "no reason given"
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return InferenceTimeoutError("no answer before the frame's deadline")
        case grpc.StatusCode.CANCELLED | grpc.StatusCode.UNKNOWN:
            return RuntimeUnavailableError(f"the inference server can't be reached: {message}")
        case code:
            return refusal(message, unavailable=code is grpc.StatusCode.UNAVAILABLE)
