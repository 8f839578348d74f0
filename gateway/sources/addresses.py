"""Where a camera is on the network, and with which credentials: `scheme://user:password@host:port/path?query`."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

from gateway.errors import InvalidInputError, SourceUnavailableError
from gateway.sources.urls import ESCAPES, CameraUrl


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """The parts of a network camera's URL.

    Attributes:
        scheme: Such as `rtsp`.
        host: Name or address, without brackets.
        port: As given; None for the scheme's own.
        user: Decoded; empty without one.
        password: Decoded.
        target: Path and query as they go to the camera.
        options: Those of the query that are meant for us.
    """

    scheme: str
    host: str
    port: int | None
    user: str
    password: str = field(repr=False)
    target: str = field(repr=False)
    options: Mapping[str, str]

    @classmethod
    def parse(
        cls, url: CameraUrl, options: Mapping[str, str], shared: frozenset[str] = frozenset()
    ) -> "NetworkAddress":
        """Take a URL apart.

        Args:
            url: The URL.
            options: Our options, each with a description of its values; they are kept from the camera.
            shared: Those of them that the camera gets as well.

        Raises:
            InvalidInputError: It has no host, or one that is no name, its port is none, an option is given twice, or it
                can't be read.
        """
        try:
            parts = urlsplit(url.text)
            port, host = parts.port, parts.hostname
        except ValueError:  # whose text may hold the password
            raise InvalidInputError(f"the host or port of the {url.scheme}: URL can't be read; {ESCAPES}") from None
        if not host or any(c in host for c in " %<>\\"):
            raise InvalidInputError(
                f"a camera's URL names its host, as in {url.scheme}://camera.example/path; {ESCAPES}"
            )
        if not _is_name(host):
            raise InvalidInputError(
                f"the host of the {url.scheme}: URL is no name: 1 to 63 characters stand before and after each dot"
            )
        ours = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name in options]
        if len(dict(ours)) != len(ours):
            raise InvalidInputError(f"an option is given twice; there are {', '.join(options)}")
        kept = [pair for pair in parts.query.split("&") if pair and _name(pair) not in options.keys() - shared]
        query = f"?{'&'.join(kept)}" if kept else ""
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(url.scheme, host, port, user, password, (parts.path or "/") + query, dict(ours))

    @property
    def where(self) -> str:
        """Host and port, fit for a person's eyes."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def text(self, *, credentials: bool) -> str:
        """The URL for a library, with or without its credentials, escaped as libraries expect it."""
        user = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if credentials and self.user else ""
        return f"{self.scheme}://{user}{self.where}{self.target}"

    def resolve(self, default_port: int) -> None:
        """Find out whether the name is known; a library would only tell of an input/output error.

        Raises:
            SourceUnavailableError: It isn't.
        """
        try:
            socket.getaddrinfo(self.host, self.port or default_port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise SourceUnavailableError(f"the name {self.host} can't be found: {error.strerror}") from error


def _is_name(host: str) -> bool:
    """Whether a host can be looked up: `socket` encodes it so, and raises `UnicodeError` where that can't be done."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable()


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])
