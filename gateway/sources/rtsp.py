"""Network cameras by RTSP: `rtsp://user:password@host:port/path?transport=tcp|udp`, and `rtsps://` over TLS."""

import socket
import ssl

import av.error
from av.codec.hwaccel import HWAccel

from gateway.domain.clock import Clock
from gateway.errors import InvalidInputError, SourceError, SourceRefusedError, SourceUnavailableError
from gateway.sources.addresses import NetworkAddress
from gateway.sources.feed import Patience
from gateway.sources.media import MediaSettings
from gateway.sources.stream import StreamConnection, StreamSource, open_input
from gateway.sources.urls import CameraUrl

OPTIONS = {"transport": "tcp|udp", "verify": "1|0"}
PORTS = {"rtsp": 554, "rtsps": 322}
FFMPEG_OPTIONS = {
    "allowed_media_types": "video",
    "protocol_whitelist": "rtp,srtp,rtsp,rtsps,tls,tcp,udp",
    "max_delay": "500000",  # microseconds that UDP packets out of order are waited for
    "analyzeduration": "500000",  # microseconds of the stream that are looked at before it begins
}
TLS_PROBE_S = 5.0


def rtsp_source(url: CameraUrl, clock: Clock, media: MediaSettings, patience: Patience | None = None) -> StreamSource:
    """Make the source of an RTSP URL.

    Raises:
        InvalidInputError: It has no host, or an option can't be used.
    """
    address = NetworkAddress.parse(url, OPTIONS)
    transport, verify = address.options.get("transport", "tcp"), address.options.get("verify", "1")
    if transport not in ("tcp", "udp"):
        raise InvalidInputError(f"transport is tcp or udp, not {transport!r}")
    if verify not in ("0", "1"):
        raise InvalidInputError(f"verify is 0 or 1, not {verify!r}")
    if transport == "udp" and url.scheme == "rtsps":
        raise InvalidInputError("rtsps: goes over TCP alone; leave transport out")
    waiting = patience or Patience()
    options = FFMPEG_OPTIONS | {"rtsp_transport": transport}
    if url.scheme == "rtsps":
        options |= {"tls_verify": verify} | ({"ca_file": _authorities()} if verify == "1" else {})

    def connect() -> StreamConnection:
        address.resolve(PORTS[address.scheme])
        return _connect(address, options, waiting, media.hardware_decoder())

    return StreamSource(address.where, connect, clock, waiting)


def _connect(
    address: NetworkAddress, options: dict[str, str], patience: Patience, hardware: HWAccel | None
) -> StreamConnection:
    def explain(error: av.error.FFmpegError) -> SourceError:
        return _explain(error, address, options)

    try:
        container = open_input(address.text(credentials=True), options, patience, form="rtsp", hardware=hardware)
    except av.error.FFmpegError as error:
        raise explain(error) from None  # its text holds the address with its credentials
    return StreamConnection(container, address.where, explain)


def _explain(error: av.error.FFmpegError, address: NetworkAddress, options: dict[str, str]) -> SourceError:
    """From FFmpeg's error to one that tells a person what to do."""
    where = address.where
    match error:
        case av.error.HTTPUnauthorizedError():
            said = "refuses the user name or password" if address.user else "asks for a user name and a password"
            return SourceRefusedError(f"{where} {said} (401)")
        case av.error.HTTPForbiddenError():
            return SourceRefusedError(f"{where} forbids this stream to this user (403)")
        case av.error.HTTPNotFoundError():
            return SourceRefusedError(f"{where} has no stream of this path (404)")
        case av.error.HTTPClientError():
            return SourceRefusedError(f"{where} refuses the request: {error.strerror}")
        case av.error.ExitError() | av.error.TimeoutError():
            return SourceUnavailableError(f"{where} doesn't answer in time")
        case av.error.ConnectionRefusedError():
            return SourceUnavailableError(f"{where} refuses connections")
        case av.error.InvalidDataError():
            return SourceUnavailableError(f"{where} answers, but not with a video stream by RTSP")
        case _:
            reason = _tls_failure(address, options) if address.scheme == "rtsps" else ""
            return SourceUnavailableError(f"{where} can't be reached: {reason or error.strerror}")


def _tls_failure(address: NetworkAddress, options: dict[str, str]) -> str:
    """Why no TLS connection comes about; FFmpeg doesn't say. Empty where one does."""
    context = ssl.create_default_context()
    if options["tls_verify"] == "0":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port or PORTS[address.scheme]), TLS_PROBE_S) as plain,
            context.wrap_socket(plain, server_hostname=address.host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate isn't trusted ({error.verify_message}); verify=0 accepts any"
    except OSError as error:
        return f"no TLS connection: {error.strerror or error}"


def _authorities() -> str:
    """The file of trusted authorities that OpenSSL uses, and `SSL_CERT_FILE` overrides."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.openssl_cafile
