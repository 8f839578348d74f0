"""From single coded pictures to frames, and what can be told of them without decoding."""

import struct
from enum import Enum
from typing import cast

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext

from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.still import Still, StillKind
from gateway.errors import InvalidInputError, SourceFormatError
from gateway.sources.decoder import DECODER_OPTIONS, MAX_PIXELS
from gateway.sources.planes import to_frame

MEGAPIXELS = f"at most {MAX_PIXELS // 1_000_000} megapixels are decoded"
JPEG_START, PNG_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, 0xFF, *range(0xD0, 0xD8)})
_CODECS = {StillKind.JPEG: "mjpeg", StillKind.PNG: "png"}


def still_kind(content: bytes) -> StillKind | None:
    """Tell JPEG and PNG by their first bytes."""
    if content.startswith(JPEG_START):
        return StillKind.JPEG
    return StillKind.PNG if content.startswith(PNG_START) else None


def still_size(still: Still) -> tuple[int, int]:
    """Width and height in pixels, read from the picture's header.

    Raises:
        SourceFormatError: It has no such header, or is larger than `MAX_PIXELS`.
    """
    if still.kind is StillKind.NV12:
        size_wh = still.size_wh
        if size_wh is None or len(still.content) != size_wh[0] * size_wh[1] * 3 // 2 or any(n % 2 for n in size_wh):
            raise SourceFormatError("NV12 has even width and height, and width * height * 3 / 2 bytes")
    else:
        size_wh = _jpeg_size(still.content) if still.kind is StillKind.JPEG else _png_size(still.content)
        if size_wh is None:
            raise SourceFormatError(f"the {still.kind.name} can't be decoded: it has no header")
    width, height = size_wh
    if width * height > MAX_PIXELS:
        raise SourceFormatError(f"the picture has {width} x {height} pixels; {MEGAPIXELS}")
    return size_wh


class Damage(Enum):
    """What becomes of a picture that is damaged or cut short."""

    FILLED_UP = ""
    """Shown as far as it goes: cameras that leave out a picture's last bytes are many."""

    REFUSED = "explode+crccheck"
    """Half of a picture would be filled up with grey, and what stands there be missed."""


class StillDecoder:
    """Decodes pictures one by one, in one thread. An orientation in EXIF data isn't applied."""

    def __init__(self, damage: Damage = Damage.FILLED_UP) -> None:
        self._options = DECODER_OPTIONS | ({"err_detect": damage.value} if damage.value else {})
        self._contexts: dict[StillKind, VideoCodecContext] = {}

    def frame(self, still: Still, index: int, pts_s: float, time_s: float) -> Frame:
        """Decode one.

        Raises:
            SourceFormatError: It can't be decoded, or is larger than `MAX_PIXELS`.
        """
        size_wh = still_size(still)
        if still.kind is StillKind.NV12:
            return _nv12_frame(still.content, size_wh, index, pts_s, time_s)
        try:
            packet = av.Packet(still.content)
            packet.is_keyframe = True  # or FFmpeg takes a PNG for the difference to the one before
            pictures = self._context(still.kind).decode(packet)
        except (av.error.FFmpegError, MemoryError) as error:
            raise SourceFormatError(f"the {still.kind.name} can't be decoded: it is damaged or cut short") from error
        if not pictures:
            raise SourceFormatError(f"the {still.kind.name} is cut short")
        return to_frame(pictures[0], index, pts_s, time_s)

    def _context(self, kind: StillKind) -> VideoCodecContext:
        if kind not in self._contexts:
            context = cast("VideoCodecContext", av.CodecContext.create(_CODECS[kind], "r"))
            context.thread_count = 1
            context.options = self._options
            self._contexts[kind] = context
        return self._contexts[kind]


def decode_picture(content: bytes) -> Frame:
    """Decode a JPEG or PNG, told by its first bytes, that belongs to no camera.

    Raises:
        InvalidInputError: It is neither, it is damaged or cut short, or it is larger than `MAX_PIXELS`.
    """
    kind = still_kind(content)
    if kind is None:
        raise InvalidInputError("the picture is neither a JPEG nor a PNG")
    try:
        return StillDecoder(Damage.REFUSED).frame(Still(kind, content, 0.0), 0, 0.0, 0.0)
    except SourceFormatError as error:
        raise InvalidInputError(str(error)) from error


def _nv12_frame(content: bytes, size_wh: tuple[int, int], index: int, pts_s: float, time_s: float) -> Frame:
    width, height = size_wh
    rows: UInt8Array = np.frombuffer(content, np.uint8).reshape(height * 3 // 2, width)
    chroma = rows[height:].reshape(height // 2, width // 2, 2)
    chroma_u, chroma_v = (np.ascontiguousarray(chroma[..., k]) for k in (0, 1))
    return Frame(index, pts_s, time_s, rows[:height], chroma_u, chroma_v)


def _png_size(content: bytes) -> tuple[int, int] | None:
    """The IHDR chunk comes first (PNG specification, 5.6)."""
    if len(content) < 24 or not content.startswith(PNG_START) or content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return (width, height) if width and height else None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Find the frame header among the markers (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return (width, height) if width and height else None
        # Fill bytes and markers without a length are stepped over one by one.
        step = {0xFF: 1}.get(marker, 2) if marker in _WITHOUT_LENGTH else 2 + int.from_bytes(content[at + 2 : at + 4])
        at += step
    return None
