"""Events to publish."""

from gateway.domain.event import Event, EventType
from tests.support.violations import NOON


def event(number: int) -> Event:
    """An event with a number."""
    return Event(
        number=number, type=EventType.VIOLATION_OPENED, camera_id="camera-1", at=NOON, payload={"id": str(number)}
    )
