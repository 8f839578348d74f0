"""From the spool into the database, and then to the listeners."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from gateway.domain.event import Event
from gateway.domain.ports import EventBus, Spool, Store
from gateway.errors import StoreError
from gateway.store.read_ahead import ReadAhead

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSettings:
    """How records are moved.

    Attributes:
        batch: At most so many records in one database transaction.
        first_pause_s: Upper bound of the pause after a first failure; it doubles with each further one.
        longest_pause_s: Where the doubling ends.
    """

    batch: int = 500
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0


_EVERYTHING = 2**62


async def _at_once() -> None:
    """Wait for nothing."""


class Drain:
    """Moves records: read from the spool, apply to the store, drop from the spool, publish their events.

    The states of rules go with them, in the transaction of the last that waits. Cancelling is safe anywhere: a record
    that was applied and not dropped is applied again, which changes nothing, and whoever missed its event finds it in
    the outbox.

    Args:
        spool: Where records wait.
        store: Where they go.
        bus: Who is told.
        settings: Batch size and pauses.
        on_event: Called with each event that was published; for counting.
        until_sure: Waits until this replica knows which cameras it has lost, before each batch.
        sleep: Waits for a time in seconds.
        jitter: Gives a number in [0, 1) that a pause is multiplied by, so that replicas don't come back at once
            ("full jitter", AWS Architecture Blog, 2015).
    """

    def __init__(
        self,
        spool: Spool,
        store: Store,
        bus: EventBus,
        *,
        settings: DrainSettings | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        until_sure: Callable[[], Awaitable[None]] = _at_once,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._store = store
        self._bus = bus
        self._settings = settings or DrainSettings()
        self._records = ReadAhead(spool, self._settings.batch)
        self._on_event = on_event
        self._until_sure = until_sure
        self._sleep = sleep
        self._jitter = jitter
        self._work = asyncio.Event()
        self._lag = 0
        self._failures = 0
        self._fault = ""

    @property
    def lag(self) -> int:
        """Records that waited when last looked at; 0 when all have been delivered."""
        return self._lag

    @property
    def healthy(self) -> bool:
        """False from a failure until the next success."""
        return self._failures == 0

    @property
    def fault(self) -> str:
        """Why records wait; empty from the next success on."""
        return self._fault

    def wake(self) -> None:
        """Say that the spool has new records. Never blocks, and doesn't cut a pause after a failure short."""
        self._work.set()

    async def caught_up(self) -> bool:
        """Whether the database has every record and every rule state that it is to have."""
        return not await self._spool.depth() and not await self._spool.uncarried(0)

    async def has_carried(self, camera_id: str) -> bool:
        """Whether the database has the states of a camera's rules, and so the records before them."""
        waiting = await self._spool.uncarried(_EVERYTHING)
        return camera_id not in {each.camera_id for each in waiting}

    async def run(self) -> None:
        """Drain what is there, then whenever woken, until cancelled."""
        self._work.set()
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while not await self._attempt():
                    pass
        finally:
            self._records.begin_again()

    async def _attempt(self) -> bool:
        """Move one batch, or pause after a failure; True when the spool was empty."""
        await self._until_sure()
        try:
            moved = await self._move_batch()
        except StoreError as error:
            self._records.begin_again()
            await self._pause(error)
            return False
        self._failures, self._fault = 0, ""
        return moved == 0

    async def _move_batch(self) -> int:
        """Move the oldest records; how many. The next are read meanwhile."""
        self._lag, batch = await asyncio.gather(self._spool.depth(), self._records.next())
        states = await self._spool.uncarried(batch[-1][0] if batch else 0)
        if not batch and not states:
            return 0
        events = await self._store.apply([record for _, record in batch], states)
        if not events and not self.healthy:
            events = await self._newest_event()
        self._bus.publish(events)
        for event in events:
            self._on_event(event)
        if states:
            await self._spool.note_carried(states)
        if batch:
            await self._spool.acknowledge(batch[-1][0])
        self._lag = max(0, self._lag - len(batch))
        return len(batch)

    async def _newest_event(self) -> Sequence[Event]:
        """The signal for events that were committed while the database's answer got lost: nobody was told of them."""
        return await self._store.events_after(await self._store.last_event_number() - 1, 1)

    async def _pause(self, error: StoreError) -> None:
        self._failures += 1
        self._fault = str(error)
        longest = min(self._settings.longest_pause_s, self._settings.first_pause_s * 2 ** min(self._failures - 1, 32))
        logger.warning("%d violation records wait (attempt %d): %s", self._lag, self._failures, error)
        await self._sleep(longest * self._jitter())
