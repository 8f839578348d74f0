"""What is assumed of the VAS: its paths and the form of its answers (VAS-MS-V2, integration guide 2.0)."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec

TOKEN = "/v2/auth/token"  # noqa: S105 - a path
"""POST `TokenRequest`, gives `Token`; 401 to a wrong client or secret."""

ANY_STREAM = "/v2/streams?limit=1"
"""GET, gives `Streams`: answered where the VAS is well and takes the token."""


def live_streams(camera_id: str) -> str:
    """GET, gives `Streams`: the live stream of a camera, if there is one."""
    return "/v2/streams?" + urlencode({"camera_id": camera_id, "state": "LIVE", "limit": 1})


def playlist(stream_id: str) -> str:
    """GET, gives an HLS media playlist."""
    return f"/v2/streams/{quote(stream_id, safe='')}/hls/playlist.m3u8"


def segment(stream_id: str, name: str) -> str:
    """GET, gives a segment of the playlist: MPEG-TS."""
    return f"/v2/streams/{quote(stream_id, safe='')}/hls/{quote(name, safe='')}"


class TokenRequest(msgspec.Struct, frozen=True):
    """Client credentials."""

    client_id: str
    client_secret: str


class Token(msgspec.Struct, frozen=True):
    """A token and how long it lives, in seconds."""

    access_token: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+$")]  # fit for a header
    expires_in: Annotated[float, msgspec.Meta(gt=0)]


class Stream(msgspec.Struct, frozen=True):
    """A stream of a camera."""

    id: str


class Streams(msgspec.Struct, frozen=True):
    """A page of streams."""

    streams: list[Stream]


@dataclass(frozen=True, slots=True)
class Playlist:
    """An HLS media playlist.

    Attributes:
        first: Sequence number of the first segment.
        segments: Names of the segments.
        target_s: Longest duration of a segment, in seconds.
        ended: Whether no more will come.
    """

    first: int
    segments: tuple[str, ...]
    target_s: float
    ended: bool

    @classmethod
    def parse(cls, text: str) -> "Playlist":
        """Read a playlist (RFC 8216, section 4.3).

        Raises:
            ValueError: It is none, or its segments lie elsewhere, where the token must not go.
        """
        lines = text.splitlines()
        if not lines or lines[0].strip() != "#EXTM3U":
            raise ValueError("it doesn't begin with #EXTM3U")
        tags = dict(line.split(":", 1) for line in lines if line.startswith("#EXT") and ":" in line)
        names = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        if any("/" in name or "?" in name or name.startswith(".") for name in names):
            raise ValueError("its segments aren't beside it")
        if not tags.get("#EXT-X-KEY", "METHOD=NONE").startswith("METHOD=NONE"):
            raise ValueError("its segments are encrypted")
        first = int(tags.get("#EXT-X-MEDIA-SEQUENCE", "0"))
        target_s = int(tags.get("#EXT-X-TARGETDURATION", "6").partition(".")[0])
        return cls(first, names, float(min(max(target_s, 1), 60)), "#EXT-X-ENDLIST" in lines)
