"""MQTT: brokers' addresses and topics."""

import pytest

from gateway.delivery.broker import parse_broker
from gateway.delivery.topics import Topics
from gateway.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("mqtt://broker", "mqtt://broker:1883", None),
        ("mqtts://broker", "mqtts://broker:8883", None),
        ("mqtt://broker:1884/", "mqtt://broker:1884", None),
        ("mqtt://ann:p%40ss@broker", "mqtt://ann@broker:1883", "p@ss"),
    ],
)
def test_a_broker_is_shown_without_its_password(url: str, shown: str, password: str | None) -> None:
    broker = parse_broker(url)
    assert (str(broker), broker.password) == (shown, password)
    assert "p@ss" not in repr(broker)


def test_user_and_password_of_their_own_go_before_those_of_the_url() -> None:
    broker = parse_broker("mqtt://ann:one@broker", "bob", "two")
    assert (broker.username, broker.password) == ("bob", "two")


@pytest.mark.parametrize(
    "url",
    [
        "broker:1883",
        "http://broker",
        "mqtt://",
        "mqtt://broker/topic",
        "mqtt://broker:port",
        "mqtt://a:secret@[b",
        "mqtt://a..b",
    ],
)
def test_what_is_no_broker_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="mqtt://host:1883") as refused:
        parse_broker(url)
    assert "secret" not in str(refused.value)


def test_certificates_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="MQTT_CA"):
        parse_broker("mqtts://broker", ca="no certificate")


def test_sites_on_one_broker_are_kept_apart_by_their_prefix() -> None:
    here, there = Topics("site/here"), Topics("site/there")
    assert here.client_id != there.client_id
    (pattern, _) = here.found()
    topic = pattern.replace("+", "camera-1")
    assert topic == "homeassistant/binary_sensor/site_here/camera-1/config"
    assert (here.camera_of(topic), there.camera_of(topic)) == ("camera-1", "")


def test_without_discovery_nothing_is_announced() -> None:
    topics = Topics(discovery="none")
    assert topics.found() == ()
    assert len(topics.of_camera("camera-1")) == 2
