"""Events to publish."""

import msgspec

from gateway.domain.event import Event, EventType, GrantChanged
from tests.support.violations import NOON


def event(number: int) -> Event:
    """An event with a number."""
    return Event(
        number=number,
        type=EventType.VIOLATION_OPENED,
        camera_id="camera-1",
        at=NOON,
        payload=msgspec.Raw(msgspec.json.encode({"id": str(number)})),
    )


def missed_event(after: int, through: int) -> Event:
    """Tells of trimmed events."""
    payload = msgspec.Raw(msgspec.json.encode({"after": after, "through": through}))
    return Event(number=through, type=EventType.EVENTS_MISSED, camera_id="", at=NOON, payload=payload)


def a_grant(
    camera_id: str = "camera-1", granted_fps: float = 5.0, *, runtime_id: str | None = "triton-1", reason: str = ""
) -> GrantChanged:
    """A camera that wants 5 fps gets something."""
    return GrantChanged(
        camera_id=camera_id,
        model="people",
        wanted_fps=5.0,
        granted_fps=granted_fps,
        runtime_id=runtime_id if granted_fps else None,
        reason=reason,
    )
