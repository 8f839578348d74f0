"""Refusing requests under a name that anyone on the internet can own.

A page at such a name, led to this machine's address once it is loaded (DNS rebinding), would pass for one of this
origin: https://owasp.org/www-community/attacks/DNS_Rebinding.
"""

import ipaddress
import re
from collections.abc import Collection
from http import HTTPStatus

from litestar.enums import ScopeType
from litestar.exceptions import ClientException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.errors import ConfigurationError

ANY = "*"
_NAMES_NOBODY_OWNS = (".localhost", ".local", ".internal", ".svc")
"""By RFC 6761 and 6762, ICANN's resolution 2024.07.29.06, and Kubernetes, whose `svc.cluster.local` is in `local`."""

_ALLOWED = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class MisdirectedRequestException(ClientException):
    """The request is for another host, as far as this gateway knows."""

    status_code = HTTPStatus.MISDIRECTED_REQUEST


class HostMiddleware(ASGIMiddleware):
    """Lets requests and handshakes pass that name this gateway by an address, a local name or an allowed one.

    Args:
        allowed: As `parse_hosts` gives them.
    """

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)

    def __init__(self, allowed: Collection[str]) -> None:
        self._allowed = allowed

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Pass a request on, or raise `MisdirectedRequestException`; one of HTTP/1.0 may name no host."""
        host = dict(scope["headers"]).get(b"host")
        if host is not None and not is_allowed(host.decode("latin-1"), self._allowed):
            raise MisdirectedRequestException(
                f"this gateway has no name {host.decode('latin-1')!r} that it knows of; "
                "if it is one of its own, add it to RUTH_AI_ALLOWED_HOSTS"
            )
        await next_app(scope, receive, send)


def parse_hosts(text: str) -> frozenset[str]:
    """Read `ruth.example.org, *.example.net`; `ConfigurationError` names the part that is no name."""
    hosts = frozenset(filter(None, (part.strip().rstrip(".").lower() for part in text.split(","))))
    for host in sorted(hosts):
        if not _ALLOWED.fullmatch(host):
            raise ConfigurationError(
                f"RUTH_AI_ALLOWED_HOSTS: {host!r} is no name; write it without scheme and port, as in ruth.example.org"
            )
    return hosts


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether a `Host` header, with or without a port, is an address, a name that nobody owns, or an allowed one."""
    name = _name(host)
    if ANY in allowed or name in allowed or "." not in name or name.endswith(_NAMES_NOBODY_OWNS) or _is_address(name):
        return True
    return any(name.endswith(each.removeprefix(ANY)) for each in allowed if each.startswith("*."))


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
