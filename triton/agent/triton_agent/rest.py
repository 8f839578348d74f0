"""Small JSON calls over HTTP, with the standard library: one connection each, never a proxy, always a time limit."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from triton_agent.errors import UnreachableError


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP status and the JSON value that came with it (None when the body was empty or no JSON)."""

    status: int
    body: Any


def call(method: str, url: str, *, body: object = None, token: str | None = None, timeout_s: float = 2.0) -> Reply:
    """Make one request.

    Args:
        method: HTTP method.
        url: `http://` or `https://` address.
        body: A value to send as JSON; None sends no body.
        token: Bearer token.
        timeout_s: Limit for connecting and for each read.

    Raises:
        UnreachableError: No connection, no answer in time, or not HTTP.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return Reply(response.status, _parsed(response.read()))
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{method} {url}: {error or type(error).__name__}") from error


def _parsed(text: bytes) -> Any:  # noqa: ANN401 # JSON
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
