"""Camera URLs: `scheme:…?option=value`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from gateway.errors import InvalidInputError

ESCAPES = "in a user name or password write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for %"


class Pace(StrEnum):
    """How fast a recorded or rendered source gives its frames."""

    REALTIME = "realtime"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """A camera URL in its parts; `path` is percent-decoded, `options` are those after the `?`, `text` is all of it."""

    scheme: str
    path: str
    options: Mapping[str, str]
    text: str = field(default="", repr=False)


def parse_url(url: str) -> CameraUrl:
    """Split a camera URL.

    Raises:
        InvalidInputError: It has no scheme, or can't be read.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # whose text may hold the password
        raise InvalidInputError(f"the host or port of the camera URL can't be read; {ESCAPES}") from None
    if not parts.scheme:
        raise InvalidInputError("a camera URL begins with its scheme, as in file:///videos/door.mp4 or demo:?people=3")
    if parts.scheme in ("file", "shm") and parts.netloc not in ("", "localhost"):
        raise InvalidInputError(f"{parts.scheme} URLs have three slashes: {parts.scheme}:///{parts.netloc}{parts.path}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    return CameraUrl(parts.scheme, unquote(parts.path), options, url)


def check_options(url: CameraUrl, known: Mapping[str, str]) -> None:
    """Refuse options that a scheme doesn't have. `known` maps each option to a description of its values.

    Raises:
        InvalidInputError: Names the unknown options and lists the known ones, or one is given twice.
    """
    query = urlsplit(url.text).query
    if len(parse_qsl(query, keep_blank_values=True)) != len(url.options):
        raise InvalidInputError(f"an option of the camera URL is given twice: {query}")
    unknown = sorted(set(url.options) - set(known))
    if unknown:
        listed = ", ".join(f"{name}={values}" for name, values in known.items())
        raise InvalidInputError(f"{url.scheme}: URLs have no option {', '.join(unknown)}; they have {listed}")


def pace_option(url: CameraUrl) -> Pace:
    """Read the `pace` option, `realtime` unless given.

    Raises:
        InvalidInputError: It is neither `realtime` nor `max`.
    """
    value = url.options.get("pace", Pace.REALTIME.value)
    if value not in tuple(Pace):
        raise InvalidInputError(f"pace is {' or '.join(Pace)}, not {value!r}")
    return Pace(value)
