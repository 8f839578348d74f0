"""Changes of what cameras are granted, as events: each that matters, none too often."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.domain.clock import Clock
from gateway.domain.event import Event, GrantChanged
from gateway.domain.ports import EventBus, Store
from gateway.errors import StoreError

_logger = logging.getLogger(__name__)

FLUSH_S = 1.0
"""Changes of one camera within this time are one."""

REST_S = 5.0
"""A camera's next change is told no sooner."""

MATERIAL = 0.05
"""A rate that differs by less, as a part of what was told last, isn't worth telling until it adds up."""

BATCH = 500


class GrantDigest:
    """Decides which changes are told, and when. A `GrantListener`; pure, time comes in as monotonic seconds."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[GrantChanged, float]] = {}
        self._pending: dict[str, GrantChanged] = {}

    def changed(self, change: GrantChanged) -> None:
        """Take a change; it replaces the camera's earlier one that wasn't told."""
        told = self._told.get(change.camera_id)
        if told is None or _matters(told[0], change):
            self._pending[change.camera_id] = change
        else:
            self._pending.pop(change.camera_id, None)

    def forget(self, camera_id: str) -> None:
        """The camera is gone."""
        self._told.pop(camera_id, None)
        self._pending.pop(camera_id, None)

    def due(self, now_s: float) -> list[GrantChanged]:
        """What is to be told now."""
        return [change for change in self._pending.values() if self._has_rested(change.camera_id, now_s)]

    def told(self, changes: Sequence[GrantChanged], now_s: float) -> None:
        """These were told."""
        for change in changes:
            self._told[change.camera_id] = change, now_s
            if self._pending.get(change.camera_id) is change:
                del self._pending[change.camera_id]

    def _has_rested(self, camera_id: str, now_s: float) -> bool:
        told = self._told.get(camera_id)
        return told is None or now_s - told[1] >= REST_S


class GrantAnnouncer:
    """Writes changed grants to the outbox, the log and the bus. Implements `gateway.domain.ports.GrantListener`.

    While the database is away the newest change of each camera waits.

    Args:
        store: Holds the outbox.
        bus: Who is told.
        clock: For intervals.
        on_event: Called with each event that was published; for counting.
    """

    def __init__(self, store: Store, bus: EventBus, clock: Clock, on_event: Callable[[Event], None]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._on_event = on_event
        self._digest = GrantDigest()

    def changed(self, change: GrantChanged) -> None:
        """A camera's grant has changed."""
        self._digest.changed(change)

    def forget(self, camera_id: str) -> None:
        """A camera is gone; nothing of it is told any more."""
        self._digest.forget(camera_id)

    async def run(self) -> None:
        """Tell what is due, every second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self._flush()
            except StoreError as error:
                _logger.warning("changed grants wait for the database: %s", error)

    async def _flush(self) -> None:
        due = self._digest.due(self._clock.monotonic())
        for start in range(0, len(due), BATCH):
            changes = due[start : start + BATCH]
            events = await self._store.record_grants(changes)
            self._digest.told(changes, self._clock.monotonic())
            self._bus.publish(events)
            for change, event in zip(changes, events, strict=True):
                _log(change)
                self._on_event(event)


def _matters(told: GrantChanged, now: GrantChanged) -> bool:
    if (told.runtime_id, told.wanted_fps, told.model) != (now.runtime_id, now.wanted_fps, now.model):
        return True
    if now.runtime_id is None:
        return told.reason != now.reason
    return abs(now.granted_fps - told.granted_fps) >= MATERIAL * told.granted_fps


def _log(change: GrantChanged) -> None:
    extra = {"camera_id": change.camera_id, "runtime_id": change.runtime_id, "reason": change.reason}
    _logger.info("rate granted: %g of %g fps", change.granted_fps, change.wanted_fps, extra=extra)
