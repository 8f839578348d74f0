"""Sends each webhook the events it chose, in order, at least once."""

import asyncio
import contextlib
import datetime as dt
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from gateway.delivery.post import Poster
from gateway.domain.clock import Clock, StepWatch
from gateway.domain.event import Event, EventType
from gateway.domain.ports import EventBus, Store, WebhookStore
from gateway.domain.webhook import DeadLetter, Webhook
from gateway.errors import DeliveryError, DeliveryRefusedError, NotFoundError, StoreError
from gateway.events.follow import follow

_logger = logging.getLogger(__name__)

CHECK_S = 5.0
"""How often webhooks are looked up that another replica added, changed, or stopped sending to."""

SKIPPED = 200
"""Events not chosen before the cursor is moved over them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """How long an event is tried.

    Attributes:
        first_pause_s: Upper bound of the pause after a first failure; it doubles with each further one.
        longest_pause_s: Where the doubling ends.
        give_up_after: An event of this age that fails becomes a dead letter, unless the clock has just stepped.
        refusals: An event that is refused (4xx) so often becomes a dead letter.
    """

    first_pause_s: float = 1.0
    longest_pause_s: float = 300.0
    give_up_after: dt.timedelta = dt.timedelta(hours=24)
    refusals: int = 5


class WebhookSender:
    """One task for each enabled webhook. Implements `gateway.domain.ports.WebhookControl`.

    Args:
        store: Holds the outbox.
        webhooks: Who is sent what, and how far each has come.
        bus: Tells of new events.
        poster: Makes one attempt.
        clock: Tells an event's age.
        holder: Name of this replica, the same after a restart; only one replica sends to a webhook at a time.
        settings: How long an event is tried.
        jitter: Gives a number in [0, 1) that a pause is multiplied by ("full jitter", AWS Architecture Blog, 2015).
    """

    def __init__(
        self,
        store: Store,
        webhooks: WebhookStore,
        bus: EventBus,
        poster: Poster,
        clock: Clock,
        *,
        holder: str,
        settings: RetrySettings | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._bus = bus
        self._poster = poster
        self._clock = clock
        self._watch = StepWatch(clock)
        self._holder = holder
        self._settings = settings or RetrySettings()
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._tasks: dict[str, tuple[object, asyncio.Task[None]]] = {}

    def changed(self) -> None:
        """A webhook was added, changed or removed."""
        self._changed.set()

    async def resend(self, webhook_id: str, number: int) -> None:
        """Send a dead letter again, now, and drop it; `NotFoundError`, `DeliveryError`."""
        webhook = await self._webhooks.webhook(webhook_id)
        letter: DeadLetter = await self._webhooks.dead_letter(webhook_id, number)
        await self._poster.post(webhook.settings, message_id(webhook_id, letter.event), letter.event)
        await self._webhooks.drop_dead_letter(webhook_id, number)

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                self._changed.clear()
                with contextlib.suppress(StoreError):  # the next round tries again; health tells of the database
                    await self._start_and_stop()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_S):
                        await self._changed.wait()
        finally:
            for webhook_id in list(self._tasks):
                self._stop(webhook_id)
            with contextlib.suppress(StoreError):
                await self._webhooks.release(self._holder)

    async def _start_and_stop(self) -> None:
        enabled = {webhook.id: webhook for webhook in await self._webhooks.webhooks() if webhook.settings.enabled}
        for webhook_id, (settings, task) in list(self._tasks.items()):
            if webhook_id not in enabled or enabled[webhook_id].settings != settings or task.done():
                self._stop(webhook_id)
        for webhook in enabled.values():
            if not await self._webhooks.hold(webhook.id, self._holder):
                self._stop(webhook.id)
            elif webhook.id not in self._tasks:
                task = asyncio.create_task(self._send_all(webhook), name=f"webhook-{webhook.id}")
                self._tasks[webhook.id] = webhook.settings, task

    def _stop(self, webhook_id: str) -> None:
        if webhook_id in self._tasks:
            _, task = self._tasks.pop(webhook_id)
            task.cancel()
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                _logger.error("sending to webhook %s crashed; it starts again", webhook_id, exc_info=error)

    async def _send_all(self, webhook: Webhook) -> None:
        """Send what comes; ends when the bus closes, the database is away or the webhook is removed."""
        skipped = 0
        with contextlib.suppress(StoreError, NotFoundError):  # looked at again, and started again, by `run`
            cursor = (await self._webhooks.webhook(webhook.id)).cursor
            async for event in follow(self._store, self._bus, cursor):
                if webhook.settings.chosen.matches(event):
                    await self._send(webhook, event)
                    skipped = 0
                elif (skipped := skipped + 1) >= SKIPPED:
                    await self._webhooks.advance(webhook.id, event.number)
                    skipped = 0

    async def _send(self, webhook: Webhook, event: Event) -> None:
        """Try until the receiver has it or it is given up; the cursor is past it then."""
        if event.type is EventType.EVENTS_MISSED:
            extra = {"webhook_id": webhook.id, **event.said()}
            _logger.warning("events were trimmed before a webhook was sent them; it is told", extra=extra)
        attempts = refusals = 0
        while True:
            attempts += 1
            try:
                await self._poster.post(webhook.settings, message_id(webhook.id, event), event)
            except DeliveryError as error:
                refusals += isinstance(error, DeliveryRefusedError)
                extra = {"webhook_id": webhook.id, "event": event.number, "attempt": attempts, "reason": str(error)}
                if refusals >= self._settings.refusals or self._is_old(event):
                    _logger.warning("event given up; it is a dead letter now", extra=extra)
                    await self._webhooks.bury(webhook.id, event, attempts, str(error))
                    return
                _logger.warning("event not delivered; it is tried again", extra=extra)
                await self._webhooks.note_failure(webhook.id, str(error))
                await self._pause(attempts)
            else:
                await self._webhooks.advance(webhook.id, event.number)
                return

    def _is_old(self, event: Event) -> bool:
        return self._watch.is_trusted() and self._clock.utcnow() - event.at >= self._settings.give_up_after

    async def _pause(self, failures: int) -> None:
        longest = min(self._settings.longest_pause_s, self._settings.first_pause_s * 2 ** min(failures - 1, 32))
        await asyncio.sleep(longest * self._jitter())


def message_id(webhook_id: str, event: Event) -> str:
    """What a receiver de-duplicates by: the same for every attempt and replay of an event."""
    return f"{webhook_id}-{event.number}"
