"""Webhooks on record: settings, how far each has come, and its dead letters."""

from collections.abc import Sequence

import msgspec
import uuid_utils

from gateway.domain.clock import Clock
from gateway.domain.event import Event
from gateway.domain.webhook import DeadLetter, Webhook, WebhookSettings
from gateway.store.cursors import HOLD, may_hold, shared_now
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import last_event_number
from gateway.store.rows import Row, json_text, only_row, without_nul
from gateway.store.tables import DeadLetterRow, WebhookRow

_PLAIN_SETTINGS = ("url", "secret", "enabled")


class PiccoloWebhooks:
    """Implements `gateway.domain.ports.WebhookStore`, in the database that the tables are bound to.

    Args:
        engine: Its engine.
        clock: Tells the time for records, and on SQLite how long a claim holds.
    """

    def __init__(self, engine: DatabaseEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @database_call
    async def create(self, settings: WebhookSettings) -> Webhook:
        """Put a webhook on record; it is sent what happens from now on."""
        now = self._clock.utcnow()
        webhook_id, cursor = str(uuid_utils.uuid7()), await last_event_number()
        row = WebhookRow(**_columns(settings), id=webhook_id, cursor=cursor, created_at=now, updated_at=now)
        await WebhookRow.insert(row)
        return await self.webhook(webhook_id)

    @database_call
    async def update(self, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Replace its settings; `NotFoundError` if there is none."""
        update = WebhookRow.update(**_columns(settings), updated_at=self._clock.utcnow())
        updated = await update.where(WebhookRow.id == webhook_id).returning(*WebhookRow.all_columns())
        return _webhook(only_row(updated, "webhook", webhook_id))

    @database_call
    async def delete(self, webhook_id: str) -> None:
        """Remove it and its dead letters; `NotFoundError` if there is none."""
        deleted = await WebhookRow.delete().where(WebhookRow.id == webhook_id).returning(WebhookRow.id)
        only_row(deleted, "webhook", webhook_id)

    @database_call
    async def webhook(self, webhook_id: str) -> Webhook:
        """One webhook; `NotFoundError` if there is none."""
        rows = await WebhookRow.select().where(WebhookRow.id == webhook_id)
        return _webhook(only_row(rows, "webhook", webhook_id))

    @database_call
    async def webhooks(self) -> Sequence[Webhook]:
        """All of them, oldest first."""
        return [_webhook(row) for row in await WebhookRow.select().order_by(WebhookRow.id)]

    @database_call
    async def hold(self, webhook_id: str, holder: str) -> bool:
        """Take or keep the right to send for 30 s; False while another replica has it."""
        now = shared_now(self._engine, self._clock)
        update = WebhookRow.update(holder=holder, held_until=now + HOLD)
        update = update.where(WebhookRow.id == webhook_id, may_hold(WebhookRow, holder, now))
        return bool(await update.returning(WebhookRow.id))

    @database_call
    async def release(self, holder: str) -> None:
        """Give up the right to send to any of them."""
        await WebhookRow.update(held_until=None).where(WebhookRow.holder == holder)

    @database_call
    async def advance(self, webhook_id: str, cursor: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        update = WebhookRow.update(cursor=cursor, last_error="")
        await update.where((WebhookRow.id == webhook_id) & (WebhookRow.cursor < cursor))

    @database_call
    async def note_failure(self, webhook_id: str, reason: str) -> None:
        """Keep why an attempt failed."""
        await WebhookRow.update(last_error=without_nul(reason)).where(WebhookRow.id == webhook_id)

    @database_call
    async def bury(self, webhook_id: str, event: Event, attempts: int, reason: str) -> None:
        """Give an event up: it becomes a dead letter and the cursor passes it, in one transaction."""
        letter = DeadLetterRow(
            webhook_id=webhook_id,
            event=json_text(event),
            attempts=attempts,
            reason=without_nul(reason),
            at=self._clock.utcnow(),
        )
        async with self._engine.transaction():
            advance = WebhookRow.update(cursor=event.number, last_error=without_nul(reason))
            advance = advance.where((WebhookRow.id == webhook_id) & (WebhookRow.cursor < event.number))
            if await advance.returning(WebhookRow.id):
                await DeadLetterRow.insert(letter)

    @database_call
    async def dead_letters(self, webhook_id: str, after: int, limit: int) -> Sequence[DeadLetter]:
        """Those with a greater number, oldest first."""
        select = DeadLetterRow.select().where((DeadLetterRow.webhook_id == webhook_id) & (DeadLetterRow.number > after))
        return [_dead_letter(row) for row in await select.order_by(DeadLetterRow.number).limit(limit)]

    @database_call
    async def dead_letter(self, webhook_id: str, number: int) -> DeadLetter:
        """One of them; `NotFoundError` if there is none."""
        select = DeadLetterRow.select().where(
            (DeadLetterRow.webhook_id == webhook_id) & (DeadLetterRow.number == number)
        )
        return _dead_letter(only_row(await select, "dead letter", str(number)))

    @database_call
    async def drop_dead_letter(self, webhook_id: str, number: int) -> None:
        """Remove one; `NotFoundError` if there is none."""
        delete = DeadLetterRow.delete().where(
            (DeadLetterRow.webhook_id == webhook_id) & (DeadLetterRow.number == number)
        )
        only_row(await delete.returning(DeadLetterRow.number), "dead letter", str(number))


def _columns(settings: WebhookSettings) -> Row:
    lists = {"types": json_text(settings.types), "camera_ids": json_text(settings.camera_ids)}
    return {name: getattr(settings, name) for name in _PLAIN_SETTINGS} | lists


def _webhook(row: Row) -> Webhook:
    lists = {name: msgspec.json.decode(row[name]) for name in ("types", "camera_ids")}
    settings = {name: row[name] for name in _PLAIN_SETTINGS} | lists
    return msgspec.convert(row | {"settings": settings}, Webhook)


def _dead_letter(row: Row) -> DeadLetter:
    return msgspec.convert(row | {"event": msgspec.json.decode(row["event"], type=Event)}, DeadLetter)
