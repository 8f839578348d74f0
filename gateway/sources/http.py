"""Network cameras by HTTP: an MJPEG stream, or a picture that is asked for again and again; which, its answer tells."""

import socket
import ssl
import threading
from collections.abc import Generator, Iterator
from http import HTTPStatus

import httpx

from gateway.domain.clock import Clock
from gateway.domain.still import Still
from gateway.errors import InvalidInputError, SourceError, SourceFormatError, SourceRefusedError, SourceUnavailableError
from gateway.sources.addresses import NetworkAddress
from gateway.sources.feed import Patience
from gateway.sources.media import MediaSettings
from gateway.sources.multipart import boundary_of, read_parts
from gateway.sources.picture import still_kind
from gateway.sources.stills import StillSource
from gateway.sources.urls import CameraUrl

OPTIONS = {"fps": "0.01 to 60", "verify": "1|0"}
SHARED = frozenset({"fps"})
PORTS = {"http": 80, "https": 443}
MAX_PICTURE_BYTES = 20_000_000
MAX_REDIRECTS = 3
DEFAULT_FPS = 5.0
PICTURES = "JPEG or PNG pictures, or MJPEG as multipart/x-mixed-replace"
_TEMPORARY = frozenset({408, 425, 429})


class ChallengeAuth(httpx.Auth):
    """Shows the credentials as the camera asks for them: digest where it offers that, else basic, never unasked."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._chosen: httpx.Auth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See `httpx.Auth`."""
        if self._chosen is None:
            response = yield request
            if response.status_code != HTTPStatus.UNAUTHORIZED:
                return
            offered = " ".join(response.headers.get_list("www-authenticate")).lower()
            kind = httpx.DigestAuth if "digest " in offered else httpx.BasicAuth
            self._chosen = kind(self._user, self._password)
        yield from self._chosen.auth_flow(request)


def http_source(url: CameraUrl, clock: Clock, _: MediaSettings, patience: Patience | None = None) -> StillSource:
    """Make the source of an HTTP URL.

    Raises:
        InvalidInputError: It has no host, or an option can't be used.
    """
    address = NetworkAddress.parse(url, OPTIONS, SHARED)
    fps, verify = _fps(address.options.get("fps")), address.options.get("verify", "1")
    if verify not in ("0", "1"):
        raise InvalidInputError(f"verify is 0 or 1, not {verify!r}")
    waiting = patience or Patience()
    stall_s = max(waiting.stall_s, 2.5 / fps)

    def connect() -> "HttpConnection":
        return HttpConnection(address, fps, verify == "1", Patience(waiting.open_s, stall_s), clock)

    return StillSource(address.where, connect, clock, Patience(waiting.open_s, stall_s))


class HttpConnection:
    """An answered request; see `gateway.sources.feed.Connection`.

    Args:
        address: Of the camera.
        fps: How often a single picture is asked for.
        verify: Whether its certificate must be trusted.
        patience: How long it is waited for.
        clock: Tells when pictures came.

    Raises:
        SourceError: It can't be reached, or doesn't answer with pictures.
    """

    def __init__(self, address: NetworkAddress, fps: float, verify: bool, patience: Patience, clock: Clock) -> None:
        self._address = address
        self._period_s = 1 / fps
        self._clock = clock
        self._stopped = threading.Event()
        address.resolve(PORTS[address.scheme])
        self._client = httpx.Client(
            auth=ChallengeAuth(address.user, address.password) if address.user else None,
            timeout=httpx.Timeout(patience.stall_s + 1, connect=patience.open_s),
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            verify=_trust() if verify else False,
            trust_env=False,  # a camera stands in the local network, not behind a proxy
            headers={"Accept": "multipart/x-mixed-replace, image/jpeg, image/png", "Accept-Encoding": "identity"},
        )
        try:
            self._answer = self._ask()
        except BaseException:
            self._client.close()
            raise

    def items(self) -> Iterator[tuple[Still, int]]:
        """Pictures as they come."""
        try:
            content_type = self._answer.headers.get("content-type", "")
            pictures = self._stream(content_type) if content_type.lower().startswith("multipart/") else self._poll()
            for content in pictures:
                kind = still_kind(content)
                if kind is None:
                    raise SourceRefusedError(f"{self._address.where} sends parts that are no JPEG and no PNG")
                yield Still(kind, content, self._clock.monotonic()), len(content)
        except httpx.HTTPError as error:
            raise _explain(error, self._address.where) from error
        except SourceFormatError as error:
            raise SourceUnavailableError(f"{self._address.where}: {error}") from error

    def interrupt(self) -> None:
        """Wake the thread, whether it waits for data or for the next picture's time."""
        self._stopped.set()
        stream = self._answer.extensions.get("network_stream")
        raw = stream.get_extra_info("socket") if stream is not None else None
        if isinstance(raw, socket.socket):
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # closed already

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()
        self._client.close()

    def _stream(self, content_type: str) -> Iterator[bytes]:
        return read_parts(self._answer.iter_raw(), boundary_of(content_type), MAX_PICTURE_BYTES)

    def _poll(self) -> Iterator[bytes]:
        due_s = self._clock.monotonic()
        while True:
            yield _body(self._answer)
            due_s = max(due_s + self._period_s, self._clock.monotonic())
            if self._stopped.wait(due_s - self._clock.monotonic()):
                return
            self._answer = self._ask()

    def _ask(self) -> httpx.Response:
        """Send the request; the answer's body isn't read yet."""
        where = self._address.where
        try:
            request = self._client.build_request("GET", self._address.text(credentials=False))
            answer = self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise _explain(error, where) from error
        except (httpx.InvalidURL, UnicodeError):  # without the cause: its text may hold what the URL holds
            raise SourceRefusedError(f"{where} has an address, or redirects to one, that can't be used") from None
        try:
            _check(answer, where, with_password=bool(self._address.user))
        except SourceError:
            answer.close()
            raise
        return answer


def _check(answer: httpx.Response, where: str, *, with_password: bool) -> None:
    status = answer.status_code
    if status == HTTPStatus.UNAUTHORIZED:
        said = "refuses the user name or password" if with_password else "asks for a user name and a password"
        raise SourceRefusedError(f"{where} {said} (401)")
    if status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SourceUnavailableError(f"{where} answers {status} {answer.reason_phrase}".rstrip())
    if status != HTTPStatus.OK:
        raise SourceRefusedError(f"{where} answers {status} {answer.reason_phrase}".rstrip())
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not content_type.startswith(("multipart/", "image/")):
        raise SourceRefusedError(f"{where} answers with {content_type or 'something unnamed'}, not with {PICTURES}")


def _body(answer: httpx.Response) -> bytes:
    """The whole body, if it isn't too long."""
    content = bytearray()
    for chunk in answer.iter_raw():
        content += chunk
        if len(content) > MAX_PICTURE_BYTES:
            raise SourceFormatError(f"a picture has more than {MAX_PICTURE_BYTES} bytes")
    answer.close()
    return bytes(content)


def _explain(error: httpx.HTTPError, where: str) -> SourceError:
    """From httpx's error to one that tells a person what to do; httpx's texts name no credentials."""
    match error:
        case httpx.TooManyRedirects():
            return SourceRefusedError(f"{where} redirects more than {MAX_REDIRECTS} times")
        case httpx.UnsupportedProtocol():
            return SourceRefusedError(f"{where} redirects to an address that is no HTTP")
        case httpx.TimeoutException():
            return SourceUnavailableError(f"{where} doesn't answer in time")
        case httpx.ConnectError() if "CERTIFICATE_VERIFY_FAILED" in str(error):
            reason = str(error).partition("verify failed: ")[2].partition(" (_ssl")[0]
            return SourceUnavailableError(
                f"{where} has a certificate that isn't trusted ({reason}); verify=0 accepts any"
            )
        case httpx.ConnectError():
            return SourceUnavailableError(f"{where} can't be reached: {error}")
        case httpx.RemoteProtocolError():
            return SourceUnavailableError(f"{where} breaks off, or doesn't speak HTTP")
        case _:
            return SourceUnavailableError(f"{where} has broken the connection: {error}")


def _fps(text: str | None) -> float:
    try:
        fps = DEFAULT_FPS if text is None else float(text)
    except ValueError:
        fps = 0.0
    if not 0.01 <= fps <= 60:
        raise InvalidInputError(f"fps of an HTTP camera is {OPTIONS['fps']}, not {text!r}")
    return fps


def _trust() -> ssl.SSLContext:
    """The system's authorities; `SSL_CERT_FILE` overrides them."""
    return ssl.create_default_context()
