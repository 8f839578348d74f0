"""Events by MQTT to a real broker, and what Home Assistant finds there."""

import asyncio
import contextlib
import datetime as dt
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from gateway.delivery.broker import connected, parse_broker
from gateway.delivery.mqtt import CURSOR, MqttSender
from gateway.delivery.topics import Topics
from gateway.domain.clock import SystemClock
from gateway.domain.violation import Violation, ViolationClosed
from gateway.errors import DeliveryError
from gateway.store.cursors import PiccoloCursors
from tests.support.api_app import Api, a_violation, running_api
from tests.support.events import a_grant
from tests.support.home_assistant import check_discovery
from tests.support.mqtt_broker import PASSWORD, USER, Listener, PrivateBroker, listening, private_broker

TOPICS = Topics()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path / "gateway") as running:
        yield running


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    with private_broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def listener(broker: PrivateBroker) -> Iterator[Listener]:
    with listening(broker) as hearing:
        yield hearing


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key, cert, both = (tmp_path / name for name in ("key.pem", "cert.pem", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


def _sender(api: Api, broker: PrivateBroker, holder: str = "here", password: str = PASSWORD) -> MqttSender:
    cursors = PiccoloCursors(api.store.engine, SystemClock())
    parsed = parse_broker(broker.url, USER, password)
    return MqttSender(parsed, TOPICS, api.store, cursors, api.bus, holder=holder, check_s=0.5, jitter=lambda: 0.1)


@contextlib.asynccontextmanager
async def _running(sender: MqttSender) -> AsyncIterator[MqttSender]:
    task = asyncio.create_task(sender.run(), name="mqtt under test")
    try:
        yield sender
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what another thread has
            await asyncio.sleep(0.02)


async def _close(api: Api, violation: Violation) -> None:
    ended_at = violation.started_at + dt.timedelta(seconds=3)
    record = ViolationClosed(id=violation.id, ended_at=ended_at, score=0.9, at=ended_at)
    api.bus.publish(await api.store.apply([record]))


async def _camera(api: Api, name: str = "Gate") -> str:
    answer = await api.http.post("/api/v1/cameras", json={"name": name, "url": "demo:", "model": "people"})
    return str(answer.json()["id"])


def _is_online(listener: Listener) -> bool:
    return listener.retained.get(TOPICS.status) == b"online"


async def test_events_come_once_in_order_and_with_their_numbers(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    await api.record(a_violation())  # before anybody asked for MQTT
    async with _running(_sender(api, broker)) as sender:
        await _until(lambda: _is_online(listener))
        await _until_well(sender)
        violations = [a_violation(camera_id=f"camera-{number % 3}") for number in range(20)]
        for violation in violations:
            await api.record(violation)
        api.bus.publish(await api.store.record_grants([a_grant("camera-1")]))
        await _until(lambda: len(listener.numbers()) == 21)
    assert listener.numbers() == list(range(2, 23))
    *opened, granted = listener.events()
    assert [each.json["payload"]["id"] for each in opened] == [violation.id for violation in violations]
    assert [each.topic for each in opened[:2]] == [f"ruth_ai/events/camera-{n}/violation.opened" for n in (0, 1)]
    assert granted.topic == "ruth_ai/events/camera-1/camera.grant_changed"
    assert {(each.qos, each.retained) for each in opened} == {(1, False)}
    await _until(lambda: listener.retained[TOPICS.status] == b"offline")


async def test_a_sender_that_begins_again_goes_on_where_it_was(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    async with _running(_sender(api, broker)):
        await _until(lambda: _is_online(listener))
        await api.record(a_violation())
        await _until(lambda: listener.numbers() == [1])
    await api.record(a_violation())
    async with _running(_sender(api, broker)):
        await _until(lambda: listener.numbers() == [1, 2])


async def test_one_replica_sends_and_the_other_takes_over(api: Api, broker: PrivateBroker, listener: Listener) -> None:
    first = _sender(api, broker, "first")
    async with _running(_sender(api, broker, "second")) as second:
        async with _running(first):
            await _until(lambda: _is_online(listener))
            await api.record(a_violation())
            await _until(lambda: listener.numbers() == [1])
            await asyncio.gather(_until_well(first), _until_well(second))
        await api.record(a_violation())
        await _until(lambda: listener.numbers() == [1, 2])
        await _until(lambda: _is_online(listener))


async def test_nothing_is_lost_when_the_broker_is_killed_and_comes_back(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    async with _running(_sender(api, broker)) as sender:
        await _until(lambda: _is_online(listener))
        for kill in range(3):
            happening = asyncio.create_task(_happen(api, 20))
            await _until(lambda kill=kill: len(set(listener.numbers())) > kill * 20 + 5)
            broker.kill()
            await happening
            with pytest.raises(DeliveryError, match=str(broker.port)):
                await _until_it_fails(sender)
            broker.start()
            await _until(lambda kill=kill: len(set(listener.numbers())) == (kill + 1) * 20)
    numbers = listener.numbers()
    assert list(dict.fromkeys(numbers)) == list(range(1, 61))
    print(f"60 events, {len(numbers) - 60} of them twice, 3 kills")


@pytest.mark.slow
async def test_a_broker_that_hangs_is_found_out_and_holds_nothing_up(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    async with _running(_sender(api, broker)) as sender:
        await _until(lambda: _is_online(listener))
        with broker.stopped():
            await api.record(a_violation())
            with pytest.raises(DeliveryError, match="timed out"):
                await _until_it_fails(sender)
            assert (
                await PiccoloCursors(api.store.engine, SystemClock()).hold(CURSOR, "here") == 0
            )  # nothing was acknowledged
        await _until(lambda: listener.numbers()[-1:] == [1])
        await _until_well(sender)
        with broker.stopped():
            began_s = asyncio.get_running_loop().time()
            task = next(task for task in asyncio.all_tasks() if task.get_name() == "mqtt under test")
            task.cancel()
            await asyncio.wait({task})
            assert asyncio.get_running_loop().time() - began_s < 6  # of the 10 s that a gateway has to end


async def _happen(api: Api, times: int) -> None:
    for _ in range(times):
        await api.record(a_violation())
        await asyncio.sleep(0.01)


async def _until_well(sender: MqttSender) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(DeliveryError):
                return await sender.ping()
            await asyncio.sleep(0.02)


async def _until_it_fails(sender: MqttSender) -> None:
    async with asyncio.timeout(20):
        while True:
            await sender.ping()
            await asyncio.sleep(0.02)


async def test_states_say_what_goes_on_also_to_a_broker_that_has_forgotten_them(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    gate, yard = await _camera(api), await _camera(api, "Yard")
    older, newer = (a_violation(camera_id=yard, rule_name=name) for name in ("older", "newer"))
    for before in (older, newer):
        await api.record(before)
    async with _running(_sender(api, broker)):
        await _until(lambda: _is_online(listener))
        assert [listener.retained[TOPICS.violation(each)] for each in (gate, yard)] == [b"OFF", b"ON"]
        await _close(api, newer)
        await _until(lambda: b'"ended_at":"' in listener.retained[TOPICS.last_violation(yard)])
        assert listener.retained[TOPICS.violation(yard)] == b"ON"  # the older one goes on
        first, second = a_violation(camera_id=gate, rule_name="first"), a_violation(camera_id=gate, rule_name="second")
        await api.record(first)
        await _until(lambda: listener.retained[TOPICS.violation(gate)] == b"ON")
        await api.record(second)
        await _close(api, first)
        await _until(lambda: len(listener.numbers()) == 4)
        assert listener.retained[TOPICS.violation(gate)] == b"ON"  # the second goes on
        await _close(api, second)
        await _until(lambda: listener.retained[TOPICS.violation(gate)] == b"OFF")
        await _until(lambda: b'"ended_at":"' in listener.retained[TOPICS.last_violation(gate)])
        assert b'"rule_name":"second"' in listener.retained[TOPICS.last_violation(gate)]

        broker.kill()
        listener.retained.clear()
        broker.start(empty=True)
        await _until(lambda: _is_online(listener))
        await _until(lambda: TOPICS.last_violation(yard) in listener.retained)
        assert [listener.retained[TOPICS.violation(each)] for each in (gate, yard)] == [b"OFF", b"ON"]
        assert b'"rule_name":"newer"' in listener.retained[TOPICS.last_violation(yard)]


async def test_an_event_that_is_told_late_does_not_turn_the_state_back(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    gate = await _camera(api)
    async with _running(_sender(api, broker)):
        await _until(lambda: _is_online(listener))
    violation = a_violation(camera_id=gate)
    await api.record(violation)
    await _close(api, violation)
    listener.heard.clear()
    async with _running(_sender(api, broker)):
        await _until(lambda: len(listener.numbers()) == 2)
        await _until(lambda: _is_online(listener))
    states = [each.payload for each in listener.heard if each.topic == TOPICS.violation(gate)]
    assert set(states) == {b"OFF"}


async def test_home_assistant_finds_each_camera_as_long_as_there_is_one(
    api: Api, broker: PrivateBroker, listener: Listener
) -> None:
    gate, yard = await _camera(api), await _camera(api, "Yard")
    sensor, binary = (f"homeassistant/{kind}/ruth_ai/{gate}/config" for kind in ("sensor", "binary_sensor"))
    async with _running(_sender(api, broker)):
        await _until(lambda: _is_online(listener))
        found = {topic: payload for topic, payload in listener.retained.items() if topic.endswith("/config")}
        assert len(found) == 4
        for topic, payload in found.items():
            check_discovery(topic, payload)
        await api.http.put(f"/api/v1/cameras/{gate}", json={"name": "Door", "url": "demo:", "model": "people"})
        await _until(lambda: b'"name":"Door"' in listener.retained[binary])
        assert (await api.http.delete(f"/api/v1/cameras/{gate}")).status_code == 204
        await _until(lambda: not any(payload for topic, payload in listener.retained.items() if gate in topic))
    assert (await api.http.delete(f"/api/v1/cameras/{yard}")).status_code == 204  # while nobody is there to say so
    with listening(broker, "newcomer") as newcomer:
        await _until(lambda: any(yard in topic for topic in newcomer.retained))
        assert not any(gate in topic for topic in newcomer.retained)
        async with _running(_sender(api, broker)):
            await _until(lambda: not any(payload for topic, payload in newcomer.retained.items() if yard in topic))
    assert sensor in listener.retained


async def test_what_was_trimmed_is_told(api: Api, broker: PrivateBroker, listener: Listener) -> None:
    async with _running(_sender(api, broker)):
        await _until(lambda: _is_online(listener))
    for _ in range(5):
        await api.record(a_violation())
    assert await api.store.trim_events(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), 3) == 3
    async with _running(_sender(api, broker)):
        await _until(lambda: listener.numbers() == [3, 4, 5])
    missed = listener.events()[0]
    assert (missed.topic, missed.json["payload"]) == ("ruth_ai/events/all/events.missed", {"after": 0, "through": 3})


async def test_a_wrong_password_is_said_and_not_shown(
    api: Api, broker: PrivateBroker, caplog: pytest.LogCaptureFixture
) -> None:
    async with _running(_sender(api, broker, password="open barley")) as sender:
        await _until(lambda: any("reason" in record.__dict__ for record in caplog.records))
        with pytest.raises(DeliveryError) as refused:
            await sender.ping()
    said = str(refused.value)
    assert said.startswith(f"mqtt://ruth@127.0.0.1:{broker.port} refuses the user or its password")
    assert "MQTT_PASSWORD_FILE" in said
    everything = said + "".join(str(record.__dict__) for record in caplog.records)
    assert "barley" not in everything


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves refused sockets open
async def test_over_tls_the_broker_is_trusted_only_with_its_authority(certificate: Path, tmp_path: Path) -> None:
    with private_broker(tmp_path / "broker", certificate) as broker:
        with pytest.raises(DeliveryError, match="MQTT_CA_FILE"):
            async with connected(parse_broker(broker.url, USER, PASSWORD), "test"):
                pass
        ca = await asyncio.to_thread(certificate.read_text)
        async with connected(parse_broker(broker.url, USER, PASSWORD, ca), "test") as client:
            await client.publish("ruth_ai/test", b"", qos=1)
