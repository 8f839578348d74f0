"""Lists as the API gives them, and the path parameters that its modules share."""

from typing import Annotated, TypeAlias

import msgspec
from litestar.params import PathParameter

LARGEST_NUMBER = 2**63 - 1
"""Of an event or a dead letter: what the databases can count to."""

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

CameraId: TypeAlias = Annotated[str, PathParameter(description="The camera's id.", pattern=ID_PATTERN)]
RuleId: TypeAlias = Annotated[str, PathParameter(description="The rule's id.", pattern=ID_PATTERN)]
ViolationId: TypeAlias = Annotated[str, PathParameter(description="The violation's id.", pattern=ID_PATTERN)]
WebhookId: TypeAlias = Annotated[str, PathParameter(description="The webhook's id.", pattern=ID_PATTERN)]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What the page of any list tells beside its `items`, which each noun adds with their type.

    Attributes:
        next_cursor: Pass it as `cursor` to get the next page; null on the last one.
    """

    next_cursor: str | None = None
