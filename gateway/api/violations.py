"""Violations: the list, what people say of each, and the evidence."""

import asyncio
import datetime as dt
import hashlib
import logging
import uuid
from http import HTTPStatus
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Controller, Request, Response, get, patch
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, HeaderParameter, JSONBody, QueryParameter

from gateway.api.page import Page, ViolationId
from gateway.api.problems import documented
from gateway.api.ranges import part_of
from gateway.api.services import Injected, Services
from gateway.domain.violation import AuditEntry, Evidence, Violation, ViolationPatch, ViolationQuery, ViolationStatus
from gateway.errors import EvidenceAlteredError, InvalidInputError, NotFoundError

_logger = logging.getLogger(__name__)

PROBLEMS = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
MAX_PAGE = 500
REVALIDATED = "private, no-cache"
PICTURE = "A better frame may replace it; its ETag is its sha256. 404 tells why there is none, 410 that it was altered."
FILE_PROBLEMS = (
    {HTTPStatus.NOT_MODIFIED: ResponseSpec(None, description="The caller has it")}
    | PROBLEMS
    | documented(HTTPStatus.GONE)
)

From: TypeAlias = Annotated[
    dt.datetime | None, QueryParameter(name="from", description="Started at or after this time (RFC 3339).")
]
To: TypeAlias = Annotated[
    dt.datetime | None, QueryParameter(name="to", description="Started before this time (RFC 3339).")
]
Cursor: TypeAlias = Annotated[str | None, QueryParameter(description="`next_cursor` of the page before.")]
Limit: TypeAlias = Annotated[int, QueryParameter(description="Length of the page.", ge=1, le=MAX_PAGE)]
IfNoneMatch: TypeAlias = Annotated[
    str | None, HeaderParameter(name="If-None-Match", description="ETags that the caller has.")
]
IfRange: TypeAlias = Annotated[
    str | None,
    HeaderParameter(name="If-Range", description="ETag of the file that a part is wanted of."),
]
Range: TypeAlias = Annotated[str | None, HeaderParameter(name="Range", description="Part of the file, as `bytes=0-`.")]


class ViolationPage(Page, frozen=True, kw_only=True):
    """Violations, newest first."""

    items: list[Violation]


class AuditPage(Page, frozen=True, kw_only=True):
    """What was done with a violation."""

    items: list[AuditEntry]


class ViolationController(Controller):
    """The record of what was forbidden and seen."""

    path = "/violations"
    tags = ("violations",)

    @get(
        operation_id="list_violations",
        summary="Violations, newest first",
        responses=documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    )
    async def list_violations(
        self,
        services: Injected,
        camera_id: FromQuery[str | None] = None,
        type: FromQuery[str | None] = None,  # noqa: A002
        status: FromQuery[ViolationStatus | None] = None,
        started_from: From = None,
        started_to: To = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> ViolationPage:
        """Those that match every filter; a cursor goes on where its page ended, whatever was added since."""
        query = ViolationQuery(
            camera_id=camera_id,
            type=type,
            status=status,
            started_from=_aware("from", started_from),
            started_to=_aware("to", started_to),
            before_id=_cursor(cursor),
            limit=limit + 1,
        )
        return paginate(list(await services.store.violations(query)), limit)

    @get("/{violation_id:str}", operation_id="get_violation", summary="One violation", responses=PROBLEMS)
    async def get_violation(self, violation_id: ViolationId, services: Injected) -> Violation:
        """With its whole provenance: rule revision, model, its hash, runtime, frame."""
        return await services.store.violation(violation_id)

    @patch(
        "/{violation_id:str}",
        operation_id="patch_violation",
        summary="Set a violation's status or note",
        responses=PROBLEMS,
    )
    async def patch_violation(
        self,
        violation_id: ViolationId,
        data: JSONBody[ViolationPatch],
        services: Injected,
        request: Request[Any, Any, Any],
    ) -> Violation:
        """Listeners hear of it as `violation.updated`; the audit keeps who did it: `by`, or the address."""
        patch = _signed(_some_change(data), request)
        violation, event = await services.store.patch_violation(violation_id, patch)
        services.bus.publish([event])
        services.metrics.event_created(event.camera_id, event.type)
        return violation

    @get(
        "/{violation_id:str}/audit",
        operation_id="list_violation_audit",
        summary="Who did what with a violation, oldest first",
        responses=PROBLEMS,
    )
    async def list_audit(self, violation_id: ViolationId, services: Injected) -> AuditPage:
        """All of it, on one page; entries are never changed."""
        violation = await services.store.violation(violation_id)
        return AuditPage(items=list(await services.store.audit(violation.id)))

    @get(
        "/{violation_id:str}/evidence.jpg",
        media_type="image/jpeg",
        operation_id="get_violation_evidence",
        summary="The best picture of a violation, with its box and zone drawn",
        description=PICTURE,
        responses=FILE_PROBLEMS,
    )
    async def get_evidence(
        self, violation_id: ViolationId, services: Injected, if_none_match: IfNoneMatch = None
    ) -> Response[bytes]:
        """The file as it was hashed."""
        violation = await services.store.violation(violation_id)
        return await _file(violation_id, "picture", violation.evidence, services, if_none_match)

    @get(
        "/{violation_id:str}/clean.jpg",
        media_type="image/jpeg",
        operation_id="get_violation_clean_evidence",
        summary="The same picture as it came from the camera",
        description=PICTURE,
        responses=FILE_PROBLEMS,
    )
    async def get_clean_evidence(
        self, violation_id: ViolationId, services: Injected, if_none_match: IfNoneMatch = None
    ) -> Response[bytes]:
        """The file as it was hashed."""
        violation = await services.store.violation(violation_id)
        return await _file(violation_id, "picture", violation.clean_evidence, services, if_none_match)

    @get(
        "/{violation_id:str}/clip.mp4",
        media_type="video/mp4",
        operation_id="get_violation_clip",
        summary="What the camera showed around the beginning of a violation",
        description="Its ETag is the file's sha256. 404 tells why there is none, or none yet, 410 that it was altered.",
        responses={
            HTTPStatus.PARTIAL_CONTENT: ResponseSpec(None, description="The range that was asked for"),
        }
        | documented(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        | FILE_PROBLEMS,
    )
    async def get_clip(
        self,
        violation_id: ViolationId,
        services: Injected,
        if_none_match: IfNoneMatch = None,
        wanted: Range = None,
        if_range: IfRange = None,
    ) -> Response[bytes]:
        """The file as it was hashed, or a part of it."""
        violation = await services.store.violation(violation_id)
        return await _file(violation_id, "clip", violation.clip, services, if_none_match, wanted, if_range)


async def _file(
    violation_id: str,
    noun: str,
    evidence: Evidence,
    services: Services,
    if_none_match: str | None,
    wanted: str | None = None,
    if_range: str | None = None,
) -> Response[bytes]:
    if not evidence.name:
        raise NotFoundError(f"violation {violation_id} has no {noun}: {evidence.missing_reason or 'none was kept'}")
    etag = f'"{evidence.sha256}"'
    headers = {"ETag": etag, "Cache-Control": REVALIDATED}
    if if_none_match is not None and (if_none_match.strip() == "*" or evidence.sha256 in if_none_match):
        return Response(b"", status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    content = await services.evidence.get(evidence.name)
    if evidence.sha256 != await asyncio.to_thread(_sha256, content):  # of megabytes, where it is a clip
        _logger.error("evidence was altered", extra={"violation_id": violation_id, "file": evidence.name})
        raise EvidenceAlteredError(
            f"the {noun} of violation {violation_id} was altered after it was recorded: the file {evidence.name} isn't "
            f"the one with the sha256 {evidence.sha256}; a backup may have that"
        )
    return part_of(content, wanted if if_range in {None, etag} else None, headers)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def paginate(violations: list[Violation], limit: int) -> ViolationPage:
    """Cut a page of `limit` from a result that was asked for one more, which tells whether the list goes on."""
    page = violations[:limit]
    return ViolationPage(items=page, next_cursor=page[-1].id if len(violations) > limit else None)


def _aware(name: str, time: dt.datetime | None) -> dt.datetime | None:
    if time is not None and time.tzinfo is None:
        raise InvalidInputError(f"`{name}` needs its offset from UTC, such as 2026-01-31T08:00:00Z")
    return time


def _cursor(cursor: str | None) -> str | None:
    """Cursors are opaque to callers; that one is the last id of its page is nobody's business but ours."""
    try:
        return None if cursor is None else str(uuid.UUID(cursor))
    except ValueError as error:
        raise InvalidInputError("`cursor` is not one that this list gave; leave it out to start again") from error


def _signed(patch: ViolationPatch, request: Request[Any, Any, Any]) -> ViolationPatch:
    address = request.client.host if request.client else "an unknown address"
    return msgspec.structs.replace(patch, by=patch.by or f"unnamed, at {address}")


def _some_change(patch: ViolationPatch) -> ViolationPatch:
    if patch.status is patch.note is msgspec.UNSET:
        raise InvalidInputError("nothing to change; give `status`, `note` or both")
    return patch
