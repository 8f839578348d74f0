"""Errors as problem details (RFC 9457): one table from the gateway's errors to HTTP.

400 means the request can't be read at all (no JSON), 422 that it can be read but not used; then `errors` names the
fields. A 5xx never shows internals; its `trace_id` finds the log line that does.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from gateway import errors
from gateway.logs import current_trace
from gateway.masking import mask_secrets

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:problem-type:ruth-ai:"

logger = logging.getLogger(__name__)


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field that can't be used.

    Attributes:
        field: Path of the field, such as `definition.zone`; empty for the body as a whole.
        message: What is wrong with it.
    """

    field: str = ""
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details, RFC 9457.

    Attributes:
        type: URI that stands for the kind of problem.
        title: The kind in words; the same for every occurrence.
        status: The HTTP status.
        detail: What was wrong this time, and what would do.
        instance: The path that was asked for.
        errors: The fields that can't be used, where that is the problem.
        trace_id: Finds this occurrence in the logs.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[FieldError, ...] = ()
    trace_id: str = ""


class ProblemKind(NamedTuple):
    """What the occurrences of one kind of problem have in common."""

    status: HTTPStatus
    name: str
    title: str


UNREADABLE = ProblemKind(HTTPStatus.BAD_REQUEST, "unreadable-request", "The request can't be read")
INVALID_INPUT = ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", "The input can't be used")
INTERNAL = ProblemKind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "Internal error")

PROBLEMS: Mapping[type[errors.RuthError], ProblemKind] = {
    errors.RuthError: INTERNAL,
    errors.ConfigurationError: ProblemKind(HTTPStatus.INTERNAL_SERVER_ERROR, "misconfigured", "Wrong configuration"),
    errors.InvalidInputError: INVALID_INPUT,
    errors.NotFoundError: ProblemKind(HTTPStatus.NOT_FOUND, "not-found", "Not found"),
    errors.ConflictError: ProblemKind(HTTPStatus.CONFLICT, "conflict", "Conflict with what exists"),
    errors.AuthenticationError: ProblemKind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "No valid credential"),
    errors.SourceError: ProblemKind(HTTPStatus.BAD_GATEWAY, "source-failed", "The camera failed"),
    errors.SourceUnavailableError: ProblemKind(HTTPStatus.BAD_GATEWAY, "source-away", "The camera can't be reached"),
    errors.SourceStalledError: ProblemKind(HTTPStatus.BAD_GATEWAY, "source-stalled", "The camera sends nothing more"),
    errors.SourceRefusedError: ProblemKind(HTTPStatus.BAD_GATEWAY, "source-refused", "The camera refuses"),
    errors.SourceFormatError: ProblemKind(HTTPStatus.BAD_GATEWAY, "source-format", "The camera sends no pictures"),
    errors.InferenceError: ProblemKind(HTTPStatus.BAD_GATEWAY, "inference-failed", "Inference failed"),
    errors.RuntimeUnavailableError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "no-runtime", "No runtime is ready"),
    errors.RuntimeBusyError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "runtime-busy", "Cameras take all there is"),
    errors.InferenceTimeoutError: ProblemKind(HTTPStatus.GATEWAY_TIMEOUT, "inference-late", "No answer in time"),
    errors.InferenceRejectedError: ProblemKind(HTTPStatus.BAD_GATEWAY, "inference-rejected", "The runtime refused"),
    errors.ModelContractError: ProblemKind(HTTPStatus.CONFLICT, "model-contract", "The model declares no contract"),
    errors.DeliveryError: ProblemKind(HTTPStatus.BAD_GATEWAY, "not-delivered", "The receiver did not take it"),
    errors.DeliveryRefusedError: ProblemKind(HTTPStatus.BAD_GATEWAY, "delivery-refused", "The receiver refused it"),
    errors.FanOutError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "redis-away", "Redis is away"),
    errors.StoreError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "store-failed", "Records can't be kept or read"),
    errors.SpoolError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "spool-failed", "Records can't be made durable"),
    errors.SpoolInUseError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "spool-in-use", "Another process has the spool"
    ),
    errors.DatabaseError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "database-away", "The database is away"),
    errors.EvidenceAlteredError: ProblemKind(HTTPStatus.GONE, "evidence-altered", "The evidence was altered"),
}


def kind_of(error: errors.RuthError) -> ProblemKind:
    """The kind of the error's own class, or of the nearest one it derives from."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def documented(*statuses: HTTPStatus) -> dict[int, ResponseSpec]:
    """OpenAPI entries of the problems that a handler may answer with, besides 400, with which every handler may."""
    return {
        status: ResponseSpec(Problem, description=status.phrase, media_type=PROBLEM_MEDIA_TYPE, generate_examples=False)
        for status in (HTTPStatus.BAD_REQUEST, *statuses)
    }


def answer_ruth_error(request: Request[Any, Any, Any], error: errors.RuthError) -> Response[Problem]:
    """Answer an error that the gateway raised on purpose."""
    kind = kind_of(error)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s: %s", kind.title, error, extra={"path": request.url.path})
    challenge = {"WWW-Authenticate": "Bearer"} if kind.status == HTTPStatus.UNAUTHORIZED else {}
    return _answer(request, kind, str(error) or kind.title, headers=challenge)


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Answer what Litestar found wrong with a request: route, method, size, syntax or fields."""
    if isinstance(error, ValidationException):
        fields = _field_errors(error)
        return _answer(request, INVALID_INPUT, "; ".join(map(_sentence, fields)) or error.detail, fields)
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer_unexpected(request, error)
    kind = UNREADABLE if status == HTTPStatus.BAD_REQUEST else _http_kind(status)
    return _answer(request, kind, error.detail, headers=error.headers)


def answer_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Answer a bug: the traceback goes to the log, the caller gets the trace id to report."""
    logger.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, INTERNAL, "The server met an error it didn't expect; its log holds the details.")


def _answer(
    request: Request[Any, Any, Any],
    kind: ProblemKind,
    detail: str,
    fields: tuple[FieldError, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[Problem]:
    trace = current_trace.get()
    problem = Problem(
        type=TYPE_PREFIX + kind.name,
        title=kind.title,
        status=kind.status,
        detail=mask_secrets(detail),
        instance=mask_secrets(request.url.path),
        errors=fields,
        trace_id=trace.trace_id if trace else "",
    )
    return Response(problem, status_code=kind.status, media_type=PROBLEM_MEDIA_TYPE, headers=dict(headers or {}))


def _http_kind(status: HTTPStatus) -> ProblemKind:
    return ProblemKind(status, status.phrase.lower().replace(" ", "-"), status.phrase)


def _field_errors(error: ValidationException) -> tuple[FieldError, ...]:
    """Read Litestar's list of `{"key", "message", "source"}`."""
    entries = error.extra if isinstance(error.extra, list) else []
    return tuple(
        FieldError(field="" if entry.get("key") == "data" else entry.get("key", ""), message=entry["message"])
        for entry in entries
    )


def _sentence(error: FieldError) -> str:
    return f"{error.field}: {error.message}" if error.field else error.message
