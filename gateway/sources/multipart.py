"""MJPEG over HTTP: `multipart/x-mixed-replace`, as cameras really send it."""

import re
from collections.abc import Iterable, Iterator

from gateway.errors import SourceFormatError

MAX_HEADER_BYTES = 16 << 10
_LENGTH = re.compile(rb"^content-length:\s*(\d{1,10})\s*$", re.IGNORECASE | re.MULTILINE)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a content type states, without dashes in front: some cameras count them in, some don't.

    Raises:
        SourceFormatError: It states none.
    """
    match = re.search(r'boundary\s*=\s*(?:"([^"]{1,200})"|([^\s;]{1,200}))', content_type, re.IGNORECASE)
    name = (match[1] or match[2]).lstrip("-") if match else ""
    if not name:
        raise SourceFormatError("the camera's answer is multipart, but states no boundary between its parts")
    return name.encode("latin-1", "replace")


def read_parts(chunks: Iterable[bytes], boundary: bytes, most_bytes: int) -> Iterator[bytes]:
    """Bodies of the parts of a stream.

    A part's own `Content-Length` is trusted; without one it ends at the next boundary.

    Args:
        chunks: The stream.
        boundary: See `boundary_of`.
        most_bytes: A longer part isn't read.

    Raises:
        SourceFormatError: It is no such stream, or a part is too long.
    """
    stream = _Stream(chunks)
    delimiter = b"--" + boundary
    if stream.until(delimiter, most_bytes) is None:
        return
    while (header := stream.header()) is not None:
        length = _LENGTH.search(header)
        if length is None:
            body = stream.until(delimiter, most_bytes)
        else:
            if int(length[1]) > most_bytes:
                raise SourceFormatError(f"a picture has {int(length[1])} bytes; at most {most_bytes} are taken")
            body = stream.exactly(int(length[1]))
            if body is not None and stream.until(delimiter, MAX_HEADER_BYTES) is None:
                yield body
                return
        if body is None:
            return
        yield body.rstrip(b"\r\n") if length is None else body


class _Stream:
    """What has come and wasn't taken yet; every method gives None at the stream's end."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()

    def header(self) -> bytes | None:
        """Lines up to the empty one; the rest of the boundary's own line is the first."""
        end = re.compile(rb"\r?\n\r?\n")
        searched = 0
        while (match := end.search(self._buffer, max(0, searched - 3))) is None:
            searched = len(self._buffer)
            if searched > MAX_HEADER_BYTES:
                raise SourceFormatError("a part's header has no end")
            if not self._more():
                return None
        return self._take(match.start(), match.end())

    def until(self, delimiter: bytes, most_bytes: int) -> bytes | None:
        """What comes before a delimiter, which is taken off as well."""
        searched = 0
        while (at := self._buffer.find(delimiter, max(0, searched - len(delimiter)))) < 0:
            searched = len(self._buffer)
            if searched > most_bytes:
                raise SourceFormatError(f"no boundary within {most_bytes} bytes")
            if not self._more():
                return None
        return self._take(at, at + len(delimiter))

    def exactly(self, count: int) -> bytes | None:
        """So many bytes."""
        while len(self._buffer) < count:
            if not self._more():
                return None
        return self._take(count, count)

    def _take(self, end: int, drop: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:end])
        del self._buffer[:drop]
        return taken

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        self._buffer += chunk or b""
        return chunk is not None
