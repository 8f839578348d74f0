"""An MQTT broker: its address, a connection to it, and what its refusals mean."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from gateway.errors import ConfigurationError, DeliveryError
from gateway.masking import mask_secrets

PORTS = {"mqtt": 1883, "mqtts": 8883}
TIMEOUT_S = 5.0
KEEP_ALIVE_S = 15
"""A broker that has heard nothing for one and a half of this takes the gateway for dead, and says so to all."""

_BAD_CREDENTIALS = (0x86, 0x87)  # MQTT 5.0, table 2-6: bad user name or password, not authorized
_HOW = "MQTT_URL is written mqtt://host:1883, or mqtts://host:8883 for TLS"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who the gateway is to it.

    Attributes:
        host: Name or address.
        port: Its port.
        tls: How it proves itself; None for a connection in the clear.
        username: Who the gateway is; None where the broker lets everybody in.
        password: Proves it.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        user = f"{self.username}@" if self.username else ""
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{self.host}:{self.port}"


def parse_broker(url: str, username: str | None = None, password: str | None = None, ca: str | None = None) -> Broker:
    """Read a broker's settings.

    Args:
        url: `mqtt://[user[:password]@]host[:1883]`, `mqtts://…` for TLS.
        username: Goes before the URL's.
        password: Likewise.
        ca: Certificates of the authorities that may vouch for it, PEM; None for those the machine trusts.

    Raises:
        ConfigurationError: They can't be used; the text shows no password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError as error:
        raise ConfigurationError(f"{_HOW}: {mask_secrets(str(error))}") from error
    if parts.scheme not in PORTS or not host or parts.path.strip("/") or parts.query:
        raise ConfigurationError(_HOW)
    return Broker(
        host=host,
        port=port or PORTS[parts.scheme],
        tls=_tls(ca) if parts.scheme == "mqtts" else None,
        username=username or _decoded(parts, "username"),
        password=password or _decoded(parts, "password"),
    )


@contextlib.asynccontextmanager
async def connected(
    broker: Broker, name: str, will: aiomqtt.Will | None = None, window: int = 1
) -> AsyncGenerator[aiomqtt.Client]:
    """Be connected to a broker during the block.

    Args:
        broker: Which.
        name: Of this client; a connection of the same name takes the place of this one.
        will: What the broker tells all when the connection breaks.
        window: Calls that may wait for an answer at once.

    Raises:
        DeliveryError: It can't be reached, refuses, or goes away; says which broker and what would do.
    """
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=name,
        will=will,
        timeout=TIMEOUT_S,
        keepalive=KEEP_ALIVE_S,
        tls_context=broker.tls,
    )
    client.pending_calls_threshold = max(window, client.pending_calls_threshold)  # it warns of more
    try:
        async with client:
            yield client
    except aiomqtt.MqttError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error  # a goodbye that fails mustn't undo the cancellation
        raise DeliveryError(f"{broker} {_reason(error)}") from error


def _reason(error: aiomqtt.MqttError) -> str:
    text = mask_secrets(str(error))
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    if isinstance(code, ReasonCode) and code.value in _BAD_CREDENTIALS:
        return f"refuses the user or its password ({code}); check MQTT_USERNAME and MQTT_PASSWORD or MQTT_PASSWORD_FILE"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"can't prove what it is ({text}); MQTT_CA_FILE can name the certificate of its authority"
    return f"can't be used: {text}"


def _tls(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError("MQTT_CA holds no certificates in PEM, as in -----BEGIN CERTIFICATE-----") from error


def _decoded(parts: SplitResult, name: str) -> str | None:
    value: str | None = getattr(parts, name)
    return unquote(value) if value else None
