"""A private Mosquitto, and somebody who listens to it."""

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.triton_server import eventually, free_ports

USER, PASSWORD = "ruth", "sesame 42"


@dataclass(frozen=True)
class Heard:
    """A message."""

    topic: str
    payload: bytes
    qos: int
    retained: bool

    @property
    def json(self) -> Any:
        """Its payload."""
        return msgspec.json.decode(self.payload)


class PrivateBroker:
    """Mosquitto on a free port of the loopback; it can be killed, and started again with or without its memory.

    Args:
        folder: Its own, empty.
        certificate: Certificate and key in one file, for TLS.
    """

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        folder.mkdir()
        self.port = free_ports(1)[0]
        self._binary = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
        self._folder = folder
        self._tls = certificate is not None
        self._process: subprocess.Popen[bytes] | None = None
        if self._binary is None:
            pytest.skip("mosquitto isn't installed")
        passwords = folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, USER, PASSWORD], check=True, capture_output=True)
        lines = [
            "user root",  # whoever runs the tests, where that isn't root
            f"listener {self.port} 127.0.0.1",
            f"password_file {passwords}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
        ]
        lines += [f"certfile {certificate}", f"keyfile {certificate}"] if certificate else []
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"{'mqtts' if self._tls else 'mqtt'}://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What a gateway is told of it."""
        return {"MQTT_URL": self.url, "MQTT_USERNAME": USER, "MQTT_PASSWORD": PASSWORD}

    def start(self, *, empty: bool = False) -> None:
        """Start it, `empty` without what it remembers of before, and wait until it listens."""
        if empty:
            (self._folder / "mosquitto.db").unlink(missing_ok=True)
        assert self._binary is not None
        with (self._folder / "log").open("ab") as log:
            command = [self._binary, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._listens, 20)

    def kill(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Have it hang during the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        return "running" in (self._folder / "log").read_text()


class Listener:
    """Hears everything, in a thread of its own, from a session that the broker keeps while it is away."""

    def __init__(self, broker: PrivateBroker, name: str = "listener") -> None:
        self.heard: list[Heard] = []
        self.retained: dict[str, bytes] = {}
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        self._client.username_pw_set(USER, PASSWORD)
        self._client.reconnect_delay_set(0.1, 0.2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(10)

    def events(self) -> list[Heard]:
        """What came of the outbox, in order."""
        return [each for each in self.heard if "/events/" in each.topic]

    def numbers(self) -> list[int]:
        """Their numbers."""
        return [each.json["number"] for each in self.events()]

    def close(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        self.heard.append(Heard(message.topic, message.payload, message.qos, message.retain))
        if "/events/" not in message.topic:
            self.retained[message.topic] = message.payload


@contextlib.contextmanager
def private_broker(folder: Path, certificate: Path | None = None) -> Iterator[PrivateBroker]:
    """Run a broker during the block; skips where there is none."""
    broker = PrivateBroker(folder, certificate)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextlib.contextmanager
def listening(broker: PrivateBroker, name: str = "listener") -> Iterator[Listener]:
    """Listen during the block."""
    listener = Listener(broker, name)
    try:
        yield listener
    finally:
        listener.close()
