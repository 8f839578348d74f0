"""Pictures sent to a `push:` camera."""

import datetime as dt
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Request, post
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.params import HeaderParameter, QueryParameter

from gateway.api.origin import ACCEPTS
from gateway.api.page import CameraId
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.clock import SystemClock
from gateway.domain.still import Still, StillKind
from gateway.errors import InvalidInputError, SourceFormatError
from gateway.sources.picture import still_kind, still_size

NV12 = "image/x-nv12"
PICTURES = ("image/jpeg", "image/png", NV12)
MAX_PICTURE_BYTES = 20_000_000

Width: TypeAlias = Annotated[int | None, QueryParameter(description="Of NV12, in pixels.", ge=2, le=16384)]
Height: TypeAlias = Annotated[int | None, QueryParameter(description="Of NV12, in pixels.", ge=2, le=16384)]
FrameTime: TypeAlias = Annotated[
    dt.datetime | None,
    HeaderParameter(name="Frame-Time", description="When the picture was taken (RFC 3339); without it, now."),
]


class PushAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a pushed picture.

    Attributes:
        accepted: Whether it is looked at; false where it came too soon for the rate that the camera was granted.
    """

    accepted: bool


@dataclass
class _PushOperation(Operation):
    """Documents the body, which is no JSON."""

    def __post_init__(self) -> None:
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.request_body = RequestBody(content=dict.fromkeys(PICTURES, binary), required=True)


@post(
    "/cameras/{camera_id:str}/frames",
    status_code=HTTPStatus.ACCEPTED,
    operation_id="push_frame",
    operation_class=_PushOperation,
    summary="Send a picture to a push: camera",
    description="The body is the picture. Steps between frame times count, not the times themselves.",
    tags=["cameras"],
    opt={ACCEPTS: PICTURES},
    request_max_body_size=MAX_PICTURE_BYTES,
    responses=documented(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def push_frame(
    camera_id: CameraId,
    request: Request[Any, Any, Any],
    services: Injected,
    width: Width = None,
    height: Height = None,
    frame_time: FrameTime = None,
) -> PushAnswer:
    """Answers when the picture was decoded, or passed over."""
    await services.store.camera(camera_id)
    size_wh = None if width is None or height is None else (width, height)
    still = _still(await request.body(), request.content_type[0], size_wh, _seconds(frame_time))
    return PushAnswer(accepted=await services.control.push(camera_id, still))


def _still(content: bytes, content_type: str, size_wh: tuple[int, int] | None, time_s: float) -> Still:
    kind = StillKind.NV12 if content_type == NV12 else still_kind(content)
    if kind is None:
        raise InvalidInputError(f"the body is neither a JPEG nor a PNG; raw NV12 comes as {NV12}")
    still = Still(kind, content, time_s, size_wh)
    try:
        still_size(still)
    except SourceFormatError as error:
        raise InvalidInputError(str(error)) from error
    return still


def _seconds(frame_time: dt.datetime | None) -> float:
    """A camera whose sender states times keeps stating them: the two clocks aren't mixed on purpose.

    Without one it is the clock that never steps: a machine whose time is set must end no episode.
    """
    if frame_time is None:
        return SystemClock().monotonic()
    if frame_time.tzinfo is None:
        raise InvalidInputError("`Frame-Time` needs its offset from UTC, such as 2026-01-31T08:00:00.040Z")
    return frame_time.timestamp()
