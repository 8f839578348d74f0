"""What the gateway tells its listeners, after the store has committed it."""

import datetime as dt
from enum import StrEnum
from typing import Any

import msgspec


class EventType(StrEnum):
    """What happened."""

    VIOLATION_OPENED = "violation.opened"
    VIOLATION_CLOSED = "violation.closed"
    VIOLATION_UPDATED = "violation.updated"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the outbox.

    Attributes:
        number: Outbox number, growing; the SSE id by which a client resumes.
        type: What happened.
        camera_id: Where.
        at: When it was written.
        payload: The violation as the API gives it.
    """

    number: int
    type: EventType
    camera_id: str
    at: dt.datetime
    payload: dict[str, Any]
