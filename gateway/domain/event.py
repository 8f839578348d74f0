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
    CAMERA_GRANT_CHANGED = "camera.grant_changed"
    EVENTS_MISSED = "events.missed"
    """Not in the outbox: told to those who go on from before what was trimmed."""


class GrantChanged(msgspec.Struct, frozen=True, kw_only=True):
    """What a camera is granted from now on.

    Attributes:
        camera_id: Which.
        model: Of which model.
        wanted_fps: Frames per second that it asks for.
        granted_fps: What it gets.
        runtime_id: Where its frames go; None while nowhere.
        reason: Why it gets less than it asks for, in words for a person; empty when it doesn't.
    """

    camera_id: str
    model: str
    wanted_fps: float
    granted_fps: float
    runtime_id: str | None
    reason: str


class EventsMissed(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were trimmed before whoever asks had them.

    Attributes:
        after: Number of the last event before them.
        through: Number of the last one of them.
    """

    after: int
    through: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the outbox.

    Attributes:
        number: Outbox number, growing; the SSE id by which a client resumes.
        type: What happened.
        camera_id: Where.
        at: When it was written.
        payload: The violation as the API gives it, a `GrantChanged` or an `EventsMissed`: JSON as it is on record, for
            an event is told to many and looked into by few.
    """

    number: int
    type: EventType
    camera_id: str
    at: dt.datetime
    payload: msgspec.Raw

    def said(self) -> dict[str, Any]:
        """What the payload says."""
        said: dict[str, Any] = msgspec.json.decode(self.payload)
        return said


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events somebody wants.

    Attributes:
        camera_ids: Only of these cameras; empty for all.
        types: Only of these types; empty for all.
    """

    camera_ids: frozenset[str] = frozenset()
    types: frozenset[EventType] = frozenset()

    def matches(self, event: Event) -> bool:
        """Whether an event is wanted. That some are missed concerns everybody."""
        if event.type is EventType.EVENTS_MISSED:
            return True
        return (not self.camera_ids or event.camera_id in self.camera_ids) and (
            not self.types or event.type in self.types
        )
