"""What `WebhookStore` promises, on SQLite and on PostgreSQL."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gateway.domain.event import EventType
from gateway.domain.ports import Store, WebhookStore
from gateway.domain.webhook import WebhookSettings
from gateway.errors import NotFoundError
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.tables import WebhookRow
from gateway.store.webhooks import PiccoloWebhooks
from tests.support.claims import let_pass
from tests.support.events import event
from tests.support.set_clock import SetClock
from tests.support.violations import opened

SETTINGS = WebhookSettings(
    url="https://receiver.example/hook",
    secret="a secret of theirs",
    types=(EventType.VIOLATION_OPENED,),
    camera_ids=("gate", "yard"),
)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SetClock) -> AsyncIterator[PiccoloStore]:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgres" else None
    engine = make_engine(url, tmp_path, pool_size=4)
    await migrate(engine)
    opened_store = await PiccoloStore.open(engine, clock)
    yield opened_store
    await opened_store.close()


@pytest.fixture
def webhooks(store: PiccoloStore, clock: SetClock) -> WebhookStore:
    return PiccoloWebhooks(store.engine, clock)


async def test_a_webhook_is_kept_and_begins_with_the_next_event(store: Store, webhooks: WebhookStore) -> None:
    await store.apply([opened(), opened()])
    created = await webhooks.create(SETTINGS)
    assert (created.settings, created.cursor, created.last_error) == (SETTINGS, 2, "")
    assert await webhooks.webhook(created.id) == created
    assert list(await webhooks.webhooks()) == [created]


async def test_settings_change_and_the_cursor_stays(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    await webhooks.advance(created.id, 5)
    changed = msgspec.structs.replace(SETTINGS, enabled=False, types=(), camera_ids=())
    updated = await webhooks.update(created.id, changed)
    assert (updated.settings, updated.cursor) == (changed, 5)


async def test_a_cursor_never_goes_back(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    for cursor in (3, 7, 5):
        await webhooks.advance(created.id, cursor)
    assert (await webhooks.webhook(created.id)).cursor == 7


async def test_a_failure_is_noted_until_an_event_is_taken(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    await webhooks.note_failure(created.id, "answered 500\0")
    assert "answered 500" in (await webhooks.webhook(created.id)).last_error
    await webhooks.advance(created.id, 1)
    assert (await webhooks.webhook(created.id)).last_error == ""


async def test_an_event_is_buried_once_and_the_cursor_passes_it(webhooks: WebhookStore) -> None:
    created, other = await webhooks.create(SETTINGS), await webhooks.create(SETTINGS)
    for number in (1, 1, 2):
        await webhooks.bury(created.id, event(number), 5, "answered 400")
    letters = list(await webhooks.dead_letters(created.id, 0, 10))
    assert [(letter.event, letter.attempts, letter.reason) for letter in letters] == [
        (event(1), 5, "answered 400"),
        (event(2), 5, "answered 400"),
    ]
    assert (await webhooks.webhook(created.id)).cursor == 2
    assert not await webhooks.dead_letters(other.id, 0, 10)
    assert list(await webhooks.dead_letters(created.id, letters[0].number, 10)) == letters[1:]
    assert await webhooks.dead_letter(created.id, letters[0].number) == letters[0]
    await webhooks.drop_dead_letter(created.id, letters[0].number)
    assert list(await webhooks.dead_letters(created.id, 0, 10)) == letters[1:]


async def test_the_oldest_dead_letters_of_all_webhooks_are_trimmed(
    store: Store, webhooks: WebhookStore, clock: SetClock
) -> None:
    created, other = await webhooks.create(SETTINGS), await webhooks.create(SETTINGS)
    for number in (1, 2, 3):
        await webhooks.bury(created.id, event(number), 5, "answered 404")
        await webhooks.bury(other.id, event(number), 5, "answered 404")
        clock.pass_by(86_400)
    before = clock.now - dt.timedelta(days=1.5)
    assert await store.trim_dead_letters(before, 3) == 3
    assert [letter.event.number for letter in await webhooks.dead_letters(created.id, 0, 10)] == [3]
    assert [letter.event.number for letter in await webhooks.dead_letters(other.id, 0, 10)] == [2, 3]
    assert await store.trim_dead_letters(before, 3) == 1
    assert await store.trim_dead_letters(before, 3) == 0


async def test_one_replica_sends_at_a_time_and_another_takes_over(
    store: PiccoloStore, webhooks: WebhookStore, clock: SetClock
) -> None:
    created = await webhooks.create(SETTINGS)
    assert await webhooks.hold(created.id, "a")
    assert not await webhooks.hold(created.id, "b")
    await let_pass(store, clock, 20)
    assert await webhooks.hold(created.id, "a")
    await let_pass(store, clock, 20)
    assert not await webhooks.hold(created.id, "b")
    await let_pass(store, clock, 20)
    assert await webhooks.hold(created.id, "b")
    await webhooks.release("b")
    assert await webhooks.hold(created.id, "a")


async def test_of_two_who_ask_at_once_one_holds(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    for _ in range(100):
        await WebhookRow.update(held_until=None).where(WebhookRow.id == created.id)
        assert sorted(await asyncio.gather(*(webhooks.hold(created.id, holder) for holder in "ab"))) == [False, True]


async def test_a_replica_whose_clock_was_ahead_holds_no_longer_than_another(
    store: PiccoloStore, webhooks: WebhookStore, clock: SetClock
) -> None:
    created = await webhooks.create(SETTINGS)
    ahead = SetClock()
    ahead.now += dt.timedelta(days=365)
    assert await PiccoloWebhooks(store.engine, ahead).hold(created.id, "a")
    await let_pass(store, clock, 31)
    assert await webhooks.hold(created.id, "b")


async def test_a_webhook_goes_with_its_dead_letters(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    await webhooks.bury(created.id, event(1), 5, "answered 400")
    await webhooks.delete(created.id)
    assert not await webhooks.webhooks()
    assert not await webhooks.dead_letters(created.id, 0, 10)


async def test_what_is_not_there_is_not_found(webhooks: WebhookStore) -> None:
    created = await webhooks.create(SETTINGS)
    for call in (
        webhooks.webhook("none"),
        webhooks.update("none", SETTINGS),
        webhooks.delete("none"),
        webhooks.dead_letter(created.id, 1),
        webhooks.drop_dead_letter(created.id, 1),
    ):
        with pytest.raises(NotFoundError):
            await call
