"""Direct calls: one picture in, detections out, no camera and no record."""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, post
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from gateway.api.models import ModelName
from gateway.api.origin import ACCEPTS
from gateway.api.problems import documented
from gateway.api.services import Injected
from gateway.domain.inference import DetectedObject, describe
from gateway.sources.picture import decode_picture

PICTURES = ("image/jpeg", "image/png")
MAX_PICTURE_BYTES = 30_000_000


class DirectAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a model sees in one picture.

    Attributes:
        model: The model.
        model_version: The version that answered.
        runtime_id: Where.
        latency_ms: From the picture's turn to the answer.
        resolution_wh: Width and height of the picture in pixels.
        objects: What was found, best score first.
    """

    model: str
    model_version: str
    runtime_id: str
    latency_ms: float
    resolution_wh: tuple[int, int]
    objects: tuple[DetectedObject, ...]


@dataclass
class _PictureOperation(Operation):
    """Documents the body, which is no JSON."""

    def __post_init__(self) -> None:
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        self.request_body = RequestBody(content=dict.fromkeys(PICTURES, binary), required=True)


@post(
    "/infer/{model:str}",
    status_code=HTTPStatus.OK,
    operation_id="infer",
    operation_class=_PictureOperation,
    summary="What a model sees in one picture",
    description="The body is the picture. Cameras go first: 503 where they leave no time for it.",
    tags=["models"],
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
        HTTPStatus.GATEWAY_TIMEOUT,
    ),
)
async def infer(model: ModelName, request: Request[Any, Any, Any], services: Injected) -> DirectAnswer:
    """Nothing of it is kept."""
    frame = await asyncio.to_thread(decode_picture, await request.body())
    result = await services.control.infer(model, frame)
    return DirectAnswer(
        model=model,
        model_version=result.contract.version,
        runtime_id=result.runtime_id,
        latency_ms=round(result.latency_s * 1000, 3),
        resolution_wh=frame.resolution_wh,
        objects=describe(result.detections),
    )
