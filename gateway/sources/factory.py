"""Which class reads which camera URL."""

from collections.abc import Callable, Mapping

from gateway.domain.clock import Clock
from gateway.domain.ports import Source
from gateway.errors import InvalidInputError
from gateway.sources.demo import DemoSource
from gateway.sources.file import FileSource
from gateway.sources.media import MediaSettings
from gateway.sources.push import PushSource
from gateway.sources.rtsp import rtsp_source
from gateway.sources.shm import ShmSource
from gateway.sources.urls import CameraUrl, parse_url
from gateway.sources.v4l2 import v4l2_source
from gateway.sources.vas import VasSession, VasSource


def _http_source(url: CameraUrl, clock: Clock, media: MediaSettings) -> Source:
    """Import httpx with the first camera that needs it."""
    from gateway.sources.http import http_source

    return http_source(url, clock, media)


SCHEMES: Mapping[str, Callable[[CameraUrl, Clock, MediaSettings], Source]] = {
    "demo": lambda url, clock, _: DemoSource.from_url(url, clock),
    "file": FileSource.from_url,
    "http": _http_source,
    "https": _http_source,
    "push": PushSource.from_url,
    "rtsp": rtsp_source,
    "rtsps": rtsp_source,
    "shm": lambda url, clock, _: ShmSource.from_url(url, clock),
    "v4l2": v4l2_source,
}
ANYWHERE = MediaSettings()


def open_source(url: str, clock: Clock, media: MediaSettings = ANYWHERE, vas: VasSession | None = None) -> Source:
    """Make the source for a camera URL; nothing is connected yet.

    Args:
        url: The camera URL.
        clock: For whatever the source counts in time.
        media: What files and decoders are allowed.
        vas: The session with the VAS, where one is configured.

    Raises:
        InvalidInputError: The scheme is unknown, or an option can't be used; the message says what would do.
    """
    parsed = parse_url(url)
    if parsed.scheme == "vas":
        return VasSource.from_url(parsed, vas, clock)
    make = SCHEMES.get(parsed.scheme)
    if make is None:
        known = ", ".join(f"{scheme}:" for scheme in sorted({*SCHEMES, "vas"}))
        raise InvalidInputError(f"no camera can be opened by the scheme {parsed.scheme}:; there are {known}")
    return make(parsed, clock, media)
