"""Refusing what another web site's page has a browser send: an interface on loopback has no other protection."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import ClientException, PermissionDeniedException

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
JSON = "application/json"
ACCEPTS = "accepts"
"""Key in a handler's `opt`: the media types that it takes instead of JSON, none of which an HTML form can send."""


class UnsupportedMediaTypeException(ClientException):
    """The body is of a kind that the handler doesn't take."""

    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


async def refuse_cross_site(request: Request[Any, Any, Any]) -> None:
    """Let a change pass only if no browser sent it, or a page of this very origin.

    Browsers tell where a request comes from in `Sec-Fetch-Site` (Fetch Metadata, W3C), older ones in `Origin`; programs
    send neither. Bodies must be declared as JSON or as what the handler accepts, which a foreign page can't
    without asking first (CORS).

    Raises:
        PermissionDeniedException: The request comes from another site.
        UnsupportedMediaTypeException: The body isn't declared as what the handler takes.
    """
    if request.method in SAFE_METHODS:
        return
    if not same_origin(request):
        raise PermissionDeniedException("changes are refused when another web site's page asks for them")
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    accepted: tuple[str, ...] = request.route_handler.opt.get(ACCEPTS, (JSON,))
    if has_body and request.content_type[0] not in accepted:
        raise UnsupportedMediaTypeException(f"send the body as Content-Type: {' or '.join(accepted)}")


def same_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether no browser sent it, or a page of this very origin."""
    site, origin = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or urlsplit(origin).netloc == connection.headers.get("host")
