"""Who is told what happened."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from gateway.domain.event import Event, GrantChanged


class EventBus(Protocol):
    """Fan-out of committed events to listeners of this process."""

    @property
    def closed(self) -> bool:
        """Whether the bus has closed, which is why its listeners ended."""
        ...

    def publish(self, events: Sequence[Event]) -> None:
        """Hand events to every listener; a listener that is too slow is cut off, never waited for."""
        ...

    def listen(self) -> AsyncIterator[Event]:
        """Events from now on; ends when the listener was too slow or the bus closes."""
        ...


class GrantListener(Protocol):
    """Who is told what cameras are granted. Never blocks."""

    def changed(self, change: GrantChanged) -> None:
        """A camera's grant has changed."""
        ...

    def forget(self, camera_id: str) -> None:
        """A camera is gone."""
        ...


class WebhookControl(Protocol):
    """How the API steers the sending of webhooks."""

    def changed(self) -> None:
        """A webhook was added, changed or removed."""
        ...

    async def resend(self, webhook_id: str, number: int) -> None:
        """Send a dead letter again, now, and drop it; `NotFoundError`, `DeliveryError`."""
        ...
