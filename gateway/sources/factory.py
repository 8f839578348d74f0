"""Which class reads which camera URL."""

from collections.abc import Callable

from gateway.domain.clock import Clock
from gateway.domain.ports import Source
from gateway.errors import InvalidInputError
from gateway.sources.demo import DemoSource
from gateway.sources.file import FileSource
from gateway.sources.shm import ShmSource
from gateway.sources.urls import CameraUrl, parse_url

SCHEMES: dict[str, Callable[[CameraUrl, Clock], Source]] = {
    "demo": DemoSource.from_url,
    "file": FileSource.from_url,
    "shm": ShmSource.from_url,
}


def open_source(url: str, clock: Clock) -> Source:
    """Make the source for a camera URL; nothing is connected yet.

    Raises:
        InvalidInputError: The scheme is unknown, or an option can't be used; the message says what would do.
    """
    parsed = parse_url(url)
    make = SCHEMES.get(parsed.scheme)
    if make is None:
        known = ", ".join(f"{scheme}:" for scheme in sorted(SCHEMES))
        raise InvalidInputError(f"no camera can be opened by the scheme {parsed.scheme}:; there are {known}")
    return make(parsed, clock)
