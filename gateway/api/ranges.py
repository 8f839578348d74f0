"""Parts of a file, as players ask for them (RFC 9110, section 14)."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from litestar import Response
from litestar.exceptions import ClientException

_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeNotSatisfiableException(ClientException):
    """The file is shorter than what is asked for."""

    status_code = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def part_of(content: bytes, wanted: str | None, headers: Mapping[str, str]) -> Response[bytes]:
    """Answer with the range that is wanted; with all of it where none is, or one that isn't understood.

    Args:
        content: The file.
        wanted: `Range` of the request.
        headers: Of the answer.

    Raises:
        RangeNotSatisfiableException: Nothing of the file lies in the range.
    """
    size = len(content)
    given = {**headers, "Accept-Ranges": "bytes"}
    match = _ONE_RANGE.fullmatch(wanted or "")
    if match is None or not any(match.groups()):
        return Response(content, headers=given)
    first, last = match.groups()
    if first and last and int(last) < int(first):  # no range at all, and to be ignored
        return Response(content, headers=given)
    start = int(first) if first else max(0, size - int(last))
    end = min(size - 1, int(last)) if first and last else size - 1
    if start > end:
        raise RangeNotSatisfiableException(f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    partial = given | {"Content-Range": f"bytes {start}-{end}/{size}"}
    return Response(content[start : end + 1], status_code=HTTPStatus.PARTIAL_CONTENT, headers=partial)
