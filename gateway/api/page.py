"""Lists as the API gives them, and the path parameters that its modules share."""

from typing import Annotated, Generic, TypeAlias, TypeVar

import msgspec
from litestar.params import PathParameter

T = TypeVar("T")

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

CameraId: TypeAlias = Annotated[str, PathParameter(description="The camera's id.", pattern=ID_PATTERN)]
RuleId: TypeAlias = Annotated[str, PathParameter(description="The rule's id.", pattern=ID_PATTERN)]
ViolationId: TypeAlias = Annotated[str, PathParameter(description="The violation's id.", pattern=ID_PATTERN)]


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list.

    Attributes:
        items: The page.
        next_cursor: Pass it as `cursor` to get the next page; null on the last one.
    """

    items: list[T]
    next_cursor: str | None = None
