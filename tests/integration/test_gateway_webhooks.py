"""Webhooks from the API to a real receiver."""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import io
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.webhook import WebhookSettings
from gateway.logs import configure_logging
from tests.support.api_app import Api, a_violation, running_api
from tests.support.events import a_grant
from tests.support.webhook_receiver import Received, Receiver, webhook_receiver

PATH = "/api/v1/webhooks"
SECRET = "whsec_" + base64.b64encode(b"a key that only the two of us know").decode()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        sending = asyncio.create_task(running.sender.run())
        yield running
        sending.cancel()
        await asyncio.wait({sending})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver() as running:
        yield running


async def _create(api: Api, url: str, **settings: object) -> dict[str, Any]:
    answer = await api.http.post(PATH, json={"url": url, "secret": SECRET, **settings})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 - what another thread has
            await asyncio.sleep(0.02)


async def _get(api: Api, webhook: dict[str, Any], path: str = "") -> Any:
    return (await api.http.get(f"{PATH}/{webhook['id']}{path}")).json()


async def _letters(api: Api, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    return (await _get(api, webhook, "/dead-letters"))["items"]


async def _last_error(api: Api, webhook: dict[str, Any]) -> str:
    async with asyncio.timeout(15):
        while not (error := (await _get(api, webhook))["last_error"]):  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    return error


def _signed(request: Received) -> bool:
    """As a receiver would check."""
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    digest = hmac.new(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    fresh = abs(time.time() - int(request.headers["webhook-timestamp"])) < 60
    return fresh and hmac.compare_digest(expected, request.headers["webhook-signature"])


async def test_what_happens_is_sent_signed_and_in_order(api: Api, receiver: Receiver) -> None:
    await api.record(a_violation())
    await _create(api, receiver.url)
    violations = [a_violation() for _ in range(5)]
    for violation in violations:
        await api.record(violation)
    await _until(lambda: len(receiver.taken) == 5)
    assert [request.event.said()["id"] for request in receiver.requests] == [v.id for v in violations]
    assert all(map(_signed, receiver.requests))
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 5


async def test_only_what_was_chosen_is_sent(api: Api, receiver: Receiver) -> None:
    await _create(api, receiver.url, types=["violation.opened"], camera_ids=["gate"])
    for camera in ("yard", "gate"):
        await api.record(a_violation(camera_id=camera))
        api.bus.publish(await api.store.record_grants([a_grant(camera)]))
    await api.record(a_violation(camera_id="gate"))
    await _until(lambda: len(receiver.taken) == 2)
    assert receiver.taken == [3, 5]


async def test_an_event_is_tried_until_it_is_taken_with_the_same_id(api: Api, receiver: Receiver) -> None:
    statuses = iter([500, 503, 429, 302, 204, 204])
    receiver.answer = lambda _: next(statuses)
    receiver.headers = {"Location": receiver.url + "-elsewhere"}
    await _create(api, receiver.url)
    await api.record(a_violation())
    await api.record(a_violation())
    await _until(lambda: receiver.taken == [1, 2])
    assert [request.path for request in receiver.requests] == ["/hook"] * 6  # no redirect was followed
    assert len({request.headers["webhook-id"] for request in receiver.requests[:5]}) == 1


async def test_a_clock_that_steps_a_year_ahead_gives_no_event_up(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer = lambda _: 503
    webhook = await _create(api, receiver.url)
    await api.record(a_violation())
    await _until(lambda: receiver.requests)
    monkeypatch.setattr(SystemClock, "utcnow", lambda _: dt.datetime.now(dt.UTC) + dt.timedelta(days=365))
    tried = len(receiver.requests)
    await _until(lambda: len(receiver.requests) > tried + 2)
    assert await _letters(api, webhook) == []


async def test_a_receiver_that_does_not_answer_in_time_is_tried_again(api: Api, receiver: Receiver) -> None:
    slow = threading.Event()
    slow.set()

    def answer(_: Received) -> int:
        time.sleep(1.0 if slow.is_set() else 0.0)
        return 204

    receiver.answer = answer
    webhook = await _create(api, receiver.url)
    await api.record(a_violation())
    assert "no answer within 0.5 s" in await _last_error(api, webhook)
    slow.clear()
    await _until(lambda: len(receiver.taken) >= 2)
    assert set(receiver.taken) == {1}


async def test_a_slow_or_endless_answer_is_not_waited_for(api: Api, receiver: Receiver) -> None:
    receiver.body_s = 3600
    await _create(api, receiver.url)
    for _ in range(3):
        await api.record(a_violation())
    await _until(lambda: receiver.taken == [1, 2, 3])
    receiver.body_s = 0


async def test_a_refused_event_becomes_a_dead_letter_that_can_be_looked_at_and_resent(
    api: Api, receiver: Receiver
) -> None:
    receiver.answer = lambda request: 400 if request.event.number == 1 else 204
    webhook = await _create(api, receiver.url)
    violation = a_violation()
    await api.record(violation)
    await api.record(a_violation())
    await _until(lambda: receiver.taken == [2])
    (letter,) = await _letters(api, webhook)
    assert (letter["attempts"], letter["reason"]) == (2, "answered 400")
    assert letter["event"]["payload"]["id"] == violation.id
    resend = f"{PATH}/{webhook['id']}/dead-letters/{letter['number']}/resend"
    assert (await api.http.post(resend)).status_code == 502
    assert len(await _letters(api, webhook)) == 1
    receiver.answer = lambda _: 200
    assert (await api.http.post(resend)).status_code == 204
    assert await _letters(api, webhook) == []
    assert receiver.taken == [2, 1]
    assert (await api.http.post(resend)).status_code == 404


async def test_a_disabled_webhook_goes_on_where_it_was(api: Api, receiver: Receiver) -> None:
    webhook = await _create(api, receiver.url, enabled=False)
    await api.record(a_violation())
    await asyncio.sleep(0.1)
    assert receiver.requests == []
    url = f"{PATH}/{webhook['id']}"
    changed = (await api.http.put(url, json={"url": receiver.url})).json()
    assert changed["enabled"]
    await _until(lambda: receiver.taken == [1])
    assert _signed(receiver.requests[0])  # with the secret that was kept
    assert (await api.http.delete(url)).status_code == 204
    assert (await api.http.get(url)).status_code == 404


async def test_a_webhook_that_was_disabled_for_too_long_is_told_what_it_misses(api: Api, receiver: Receiver) -> None:
    await api.record(a_violation())
    webhook = await _create(api, receiver.url, enabled=False, types=["violation.opened"])
    violations = [a_violation() for _ in range(4)]
    for violation in violations:
        await api.record(violation)
    assert await api.store.trim_events(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), 3) == 3
    await api.http.put(f"{PATH}/{webhook['id']}", json={"url": receiver.url, "types": ["violation.opened"]})
    await _until(lambda: receiver.taken == [3, 4, 5])
    missed, *sent = [request.event for request in receiver.requests]
    assert (missed.type, missed.said()) == ("events.missed", {"after": 1, "through": 3})
    assert [event.said()["id"] for event in sent] == [violation.id for violation in violations[2:]]


async def test_no_secret_is_ever_shown(api: Api, receiver: Receiver) -> None:
    webhook = await _create(api, f"{receiver.url}?token=hidden-in-here")
    shown = [webhook, await _get(api, webhook), (await api.http.get(PATH)).json()]
    assert SECRET not in str(shown)
    assert "hidden-in-here" not in str(shown)
    await api.http.put(f"{PATH}/{webhook['id']}", json={"url": webhook["url"]})
    await api.record(a_violation())
    await _until(lambda: receiver.requests)
    assert receiver.requests[0].path == "/hook?token=hidden-in-here"


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log = io.StringIO()
    configure_logging("debug", "json", log)
    yield log
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


async def test_no_secret_is_in_the_log_however_much_is_logged(
    debug_log: io.StringIO, api: Api, receiver: Receiver
) -> None:
    webhook = await _create(api, receiver.url)
    await api.http.put(f"{PATH}/{webhook['id']}", json={"url": receiver.url, "secret": SECRET})
    await api.record(a_violation())
    await _until(lambda: receiver.taken)
    logging.getLogger("gateway").debug("written last")
    assert "written last" in debug_log.getvalue()
    assert SECRET.removeprefix("whsec_") not in debug_log.getvalue()


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "ftp://x/", "secret": SECRET},
        {"url": "http://user:pass@x/", "secret": SECRET},
        {"url": "http://x:99999/", "secret": SECRET},
        {"url": "http://a..b/", "secret": SECRET},
        {"url": "http://x/", "secret": "short"},
        {"url": "http://x/"},
        {"url": "http://x/", "secret": SECRET, "types": ["violation.guessed"]},
    ],
)
async def test_settings_that_cannot_work_are_refused(api: Api, settings: dict[str, object]) -> None:
    answer = await api.http.post(PATH, json=settings)
    assert answer.status_code == 422
    assert SECRET not in answer.text


async def test_a_url_that_cannot_work_is_told_and_can_be_switched_off_or_mended(api: Api) -> None:
    """As gateways before took it."""
    known = await api.webhooks.create(WebhookSettings(url="http://127.0.0.1:99999/", secret=SECRET))
    webhook = {"id": known.id}
    api.sender.changed()
    await api.record(a_violation())
    assert "from 1 to 65535" in await _last_error(api, webhook)

    url = f"{PATH}/{known.id}"
    assert (await api.http.put(url, json={"url": known.settings.url, "enabled": False})).status_code == 200
    assert (await api.http.put(url, json={"url": "http://127.0.0.1:0/"})).status_code == 422
    assert (await api.http.put(url, json={"url": "http://127.0.0.1:9/"})).status_code == 200


@pytest.mark.parametrize("number", [2**63, 10**30])
async def test_a_dead_letter_beyond_what_can_be_counted_is_refused(api: Api, number: int) -> None:
    letters = f"{PATH}/{(await _create(api, 'http://127.0.0.1:9/'))['id']}/dead-letters"
    assert (await api.http.get(letters, params={"cursor": number})).status_code == 422
    assert (await api.http.delete(f"{letters}/{number}")).status_code == 422
    assert (await api.http.post(f"{letters}/{number}/resend")).status_code == 422
    assert (await api.http.get(letters, params={"cursor": 2**63 - 1})).json()["items"] == []


@pytest.mark.parametrize("host", ["[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]", "0.0.0.0"])
async def test_nothing_is_sent_inside(api: Api, host: str) -> None:
    webhook = await _create(api, f"http://{host}:9/hook")
    await api.record(a_violation())
    assert "isn't public" in await _last_error(api, webhook)
