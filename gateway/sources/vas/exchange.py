"""One HTTP exchange that another thread can break off."""

import http.client
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.errors import ConfigurationError, SourceUnavailableError

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower case) and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Line:
    """Where exchanges go, one at a time; `hang_up` ends the one that is running and refuses later ones.

    Args:
        base_url: `http://host:port` or `https://…`; a path in it goes before every path.
        timeout_s: How long to wait for the server at any one point.

    Raises:
        ConfigurationError: The address can't be used.
    """

    def __init__(self, base_url: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = _split(base_url)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
        ):
            raise ConfigurationError("VAS_BASE_URL is http://HOST:PORT or https://HOST:PORT, without credentials")
        self._host, self._port, self._folder = parts.hostname, parts.port, parts.path.rstrip("/")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._hung_up = False

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request and read its answer.

        Raises:
            SourceUnavailableError: There was none, or it was broken off.
        """
        connection = self._connect(self._host, self._port, timeout=self._timeout_s)
        try:
            with self._lock:
                self._connection = connection
            connection.connect()
            if self._hung_up:  # before there was a socket to shut
                raise SourceUnavailableError("the camera was closed")
            connection.request(method, self._folder + path, body, dict(headers))
            with connection.getresponse() as response:
                content = response.read(MAX_ANSWER_BYTES + 1)
                if len(content) > MAX_ANSWER_BYTES:
                    raise SourceUnavailableError(f"VAS answers with more than {MAX_ANSWER_BYTES // 1_000_000} MB")
                named = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, named, content)
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SourceUnavailableError(f"VAS can't be reached: {reason}") from error
        finally:
            self._connection = None
            connection.close()

    def hang_up(self) -> None:
        """Break off, from any thread."""
        with self._lock:
            self._hung_up = True
            connection = self._connection
        raw = connection.sock if connection is not None else None
        if raw is not None:
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself


def _split(url: str) -> SplitResult | None:
    """Split an address; None where that can't be done: why isn't told, as people write credentials into addresses."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # found wrong only when asked for
    except ValueError:
        return None
    else:
        return parts
