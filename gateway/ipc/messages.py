"""Messages of a model's socket: a 4-byte length (big-endian), then so many bytes of JSON, in both directions."""

import asyncio
import struct

import msgspec

from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.errors import InvalidInputError

MAX_REQUEST_BYTES = 65_536
_LENGTH = struct.Struct(">I")


class FrameMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame is: its number in the ring, its size in pixels, and its format, which is `NV12`."""

    frame_id: int
    width: int
    height: int
    format: str


class InferenceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Asks what a model sees in a frame.

    Attributes:
        frame_reference: Path of the shared memory that holds the frame.
        frame_metadata: Which frame of it.
        camera_id: Given back in the response; nothing is kept by it.
        model_id: The model whose socket this is.
        timestamp: When the frame was taken, in Unix seconds.
    """

    frame_reference: str
    frame_metadata: FrameMetadata
    camera_id: str
    model_id: str
    timestamp: float = 0.0


class Detection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object. `bbox` is x1, y1, x2, y2, `keypoints` x, y, score; all positions are fractions of the picture."""

    class_id: int
    class_name: str
    confidence: float
    bbox: tuple[float, float, float, float]
    keypoints: tuple[tuple[float, float, float], ...] = ()


class ResponseMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the detections came about."""

    inference_time_ms: float | None = None
    model_version: str | None = None
    runtime_id: str | None = None


class InferenceResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the model sees; where `error` isn't null there are no detections, and it says why.

    `camera_id` and `frame_id` are those of the request, null where it couldn't be read.
    """

    model_id: str
    camera_id: str | None = None
    frame_id: int | None = None
    detections: tuple[Detection, ...] = ()
    metadata: ResponseMetadata = ResponseMetadata()
    error: str | None = None


def describe(request: InferenceRequest, frame: Frame, result: InferenceResult) -> InferenceResponse:
    """Put detections into the form of the protocol."""
    width, height = frame.resolution_wh
    found = result.detections
    return InferenceResponse(
        model_id=request.model_id,
        camera_id=request.camera_id,
        frame_id=request.frame_metadata.frame_id,
        detections=tuple(
            Detection(
                class_id=int(found.class_id[i]),
                class_name=found.label(i),
                confidence=round(float(found.score[i]), 4),
                bbox=(x1 / width, y1 / height, x2 / width, y2 / height),
                keypoints=tuple((x / width, y / height, score) for x, y, score in found.keypoints[i].tolist()),
            )
            for i, (x1, y1, x2, y2) in enumerate(found.xyxy.tolist())
        ),
        metadata=ResponseMetadata(
            inference_time_ms=round(result.latency_s * 1000, 3),
            model_version=result.contract.version,
            runtime_id=result.runtime_id,
        ),
    )


def decode(content: bytes) -> InferenceRequest:
    """Read a request.

    Raises:
        InvalidInputError: It isn't one; says what is missing or wrong.
    """
    try:
        return msgspec.json.decode(content, type=InferenceRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the message is no InferenceRequest: {error}") from error


async def receive(reader: asyncio.StreamReader) -> bytes | None:
    """Read one message; None where the client has closed the connection before it.

    Raises:
        InvalidInputError: The length can't be meant.
        EOFError: The connection ended in the middle of a message.
    """
    try:
        head = await reader.readexactly(_LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    (length,) = _LENGTH.unpack(head)
    if not 0 < length <= MAX_REQUEST_BYTES:
        raise InvalidInputError(
            f"a message has 1 to {MAX_REQUEST_BYTES} bytes, not {length}; its length goes ahead as 4 bytes, big-endian"
        )
    return await reader.readexactly(length)


async def send(writer: asyncio.StreamWriter, response: InferenceResponse) -> None:
    """Write one message."""
    content = msgspec.json.encode(response)
    writer.write(_LENGTH.pack(len(content)) + content)
    await writer.drain()
