"""The gateway as one client of a VAS: one token for all its cameras, renewed before it expires."""

import asyncio
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec

from gateway.domain.clock import Clock
from gateway.errors import SourceError, SourceRefusedError, SourceUnavailableError
from gateway.sources.vas import rest
from gateway.sources.vas.exchange import Answer, Line

_logger = logging.getLogger(__name__)
_Shape = TypeVar("_Shape", bound=msgspec.Struct)

OnRequest = Callable[[str, str, float], None]
"""Told of each request: which endpoint, the status or `unreachable`, and its duration in seconds."""

HEALTH_TIMEOUT_S = 0.8
FAILURE_HOLDS_S = 1.0
DEFAULT_HOLD_S = 5.0
LONGEST_HOLD_S = 300.0


class VasSession:
    """Knows the credentials; used by all cameras' threads at once.

    Args:
        base_url: Of the VAS.
        client_id: Who we are.
        client_secret: Proves it; it and the tokens appear in no log and no error.
        refresh_margin_s: A token is renewed so long before it expires, or after half its life if that is sooner.
        clock: For intervals.
        on_request: Told of each request.

    Raises:
        ConfigurationError: The address can't be used.
    """

    def __init__(
        self,
        base_url: str,
        client_id: str,
        client_secret: str,
        *,
        refresh_margin_s: float,
        clock: Clock,
        on_request: OnRequest,
    ) -> None:
        self._base_url = base_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._margin_s = refresh_margin_s
        self._clock = clock
        self._on_request = on_request
        self._renewing = threading.Lock()
        self._token = ""
        self._renew_s = self._expires_s = 0.0
        self._held_until_s = 0.0
        self._failure: SourceError | None = None
        self._failed_s = 0.0
        self._ping: asyncio.Task[None] | None = None
        self.line()  # refuses an address that can't be used

    def line(self) -> Line:
        """A line to the VAS for one camera."""
        return Line(self._base_url)

    def get(self, line: Line, endpoint: str, path: str) -> Answer:
        """GET with the token; a token that the VAS no longer takes is renewed once.

        Raises:
            SourceUnavailableError: The VAS is away, has nothing there, or asks us to wait: see `hold_s`.
            SourceRefusedError: It refuses our credentials or what we ask for.
        """
        token = self._current_token()
        answer = self._exchange(line, endpoint, "GET", path, token)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._forget(token)
            answer = self._exchange(line, endpoint, "GET", path, self._current_token())
        return self._checked(answer, endpoint)

    def get_json(self, line: Line, endpoint: str, path: str, shape: type[_Shape]) -> _Shape:
        """GET a JSON object; raises as `get`."""
        return _decode(self.get(line, endpoint, path).body, shape, endpoint)

    def hold_s(self) -> float:
        """For how long the VAS wants to be left alone (429 with `Retry-After`)."""
        return max(0.0, self._held_until_s - self._clock.monotonic())

    async def ping(self) -> None:
        """Ask whether it is well and takes our credentials; callers at the same time share one answer.

        Raises:
            SourceError: It isn't, or doesn't.
        """
        if self._ping is None or self._ping.done():
            self._ping = asyncio.create_task(asyncio.to_thread(self._check_health), name="ping-vas")
        await asyncio.shield(self._ping)

    def _check_health(self) -> None:
        if hold_s := self.hold_s():
            raise SourceUnavailableError(f"VAS asks for fewer requests (429): next in {hold_s:.0f} s")
        self.get(Line(self._base_url, HEALTH_TIMEOUT_S), "streams", rest.ANY_STREAM)

    def _current_token(self) -> str:
        """The token, renewed if it is time: by one thread, for which the others wait only where they have none."""
        now_s = self._clock.monotonic()
        if now_s < self._renew_s:
            return self._token
        if not self._renewing.acquire(blocking=now_s >= self._expires_s):
            return self._token
        try:
            if self._clock.monotonic() >= self._renew_s:
                self._renew()
            return self._token
        finally:
            self._renewing.release()

    def _renew(self) -> None:
        asked_s = self._clock.monotonic()
        if self._failure is not None and asked_s < self._failed_s + FAILURE_HOLDS_S:
            raise type(self._failure)(str(self._failure))  # what another camera has just been told
        try:
            token = self._fetch_token()
        except SourceError as error:
            if asked_s >= self._expires_s:
                self._failure, self._failed_s = error, self._clock.monotonic()
                raise
            self._renew_s = min(asked_s + DEFAULT_HOLD_S, self._expires_s)  # the old one is good for a while
            _logger.warning("VAS token not renewed yet", extra={"reason": str(error)})
            return
        self._failure = None
        self._token, self._expires_s = token.access_token, asked_s + token.expires_in
        self._renew_s = self._expires_s - min(self._margin_s, token.expires_in / 2)
        _logger.debug("VAS token renewed", extra={"lives_s": token.expires_in})

    def _fetch_token(self) -> rest.Token:
        request = msgspec.json.encode(rest.TokenRequest(self._client_id, self._client_secret))
        answer = self._exchange(self.line(), "token", "POST", rest.TOKEN, body=request)
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise SourceRefusedError(
                f"VAS refuses the client {self._client_id} or its secret ({answer.status}); "
                "check VAS_CLIENT_ID and VAS_CLIENT_SECRET"
            )
        return _decode(self._checked(answer, "token").body, rest.Token, "token")

    def _forget(self, token: str) -> None:
        with self._renewing:
            if token == self._token:  # else another camera has renewed it already
                self._renew_s = self._expires_s = 0.0

    def _exchange(
        self, line: Line, endpoint: str, method: str, path: str, token: str = "", body: bytes | None = None
    ) -> Answer:
        headers = {"Accept": "*/*", "User-Agent": "ruth-ai"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        started_s, status = self._clock.monotonic(), "unreachable"
        try:
            answer = line.exchange(method, path, headers, body)
            status = str(answer.status)
            return answer
        finally:
            self._on_request(endpoint, status, self._clock.monotonic() - started_s)

    def _checked(self, answer: Answer, endpoint: str) -> Answer:
        match answer.status:
            case HTTPStatus.OK | HTTPStatus.CREATED:
                return answer
            case HTTPStatus.TOO_MANY_REQUESTS:
                hold_s = _retry_after_s(answer)
                self._held_until_s = self._clock.monotonic() + hold_s
                raise SourceUnavailableError(f"VAS asks for fewer requests (429): next in {hold_s:g} s")
            case HTTPStatus.UNAUTHORIZED:
                raise SourceRefusedError("VAS refuses the token that it has just given (401)")
            case HTTPStatus.FORBIDDEN:
                raise SourceRefusedError(f"VAS doesn't let {self._client_id} read the {endpoint} (403)")
            case HTTPStatus.NOT_FOUND:
                raise SourceUnavailableError(f"VAS has no such {endpoint} (404)")
            case status:
                raise SourceUnavailableError(f"VAS answers {status} when asked for the {endpoint}")


def _decode(content: bytes, shape: type[_Shape], endpoint: str) -> _Shape:
    try:
        return msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Without the cause: what came may hold a token.
        raise SourceUnavailableError(f"VAS answers with something else when asked for the {endpoint}") from None


def _retry_after_s(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "")
    seconds = float(text) if text.isascii() and text.isdigit() else DEFAULT_HOLD_S
    return min(max(seconds, 1.0), LONGEST_HOLD_S)
