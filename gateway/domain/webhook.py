"""Who is sent events over HTTP, and what could not be sent."""

import datetime as dt
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.domain.event import Event, EventFilter, EventType
from gateway.errors import InvalidInputError

Secret = Annotated[str, msgspec.Meta(min_length=16, max_length=200)]
Url = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^https?://[^\s@/]+(/[^\s]*)?$")]


def check_url(url: str) -> None:
    """Refuse a URL that nothing can be posted to, whatever the network has.

    Raises:
        InvalidInputError: Says whether it is the host or the port, and what would do.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidInputError(
            f"a webhook's URL is http(s)://host or http(s)://host:port, the port from 1 to 65535: {error}"
        ) from error
    if port == 0:
        raise InvalidInputError("the port of a webhook's URL is from 1 to 65535; leave it out for the scheme's own")
    if not _is_name(host):
        raise InvalidInputError(
            "the host of a webhook's URL is a name, 1 to 63 characters before and after each dot, or an address"
        )


def _is_name(host: str) -> bool:
    """Whether a host can be looked up: `socket` encodes it so."""
    try:
        return bool(host.encode("idna")) and host.isprintable()
    except UnicodeError:
        return False


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides of a webhook.

    Attributes:
        url: Where events are posted; without user and password.
        secret: Key of the signature.
        types: Only events of these types; empty for all.
        camera_ids: Only of these cameras; empty for all.
        enabled: Whether events are sent; while they aren't, none is skipped.
    """

    url: Url
    secret: Secret
    types: tuple[EventType, ...] = ()
    camera_ids: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def chosen(self) -> EventFilter:
        """Which events are sent."""
        return EventFilter(camera_ids=frozenset(self.camera_ids), types=frozenset(self.types))


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook on record.

    Attributes:
        id: UUIDv7.
        settings: What a person decided.
        cursor: Number of the last event that is done with: sent, not chosen, or a dead letter.
        last_error: Why the last attempt failed; empty when it didn't.
        created_at: When it was put on record.
        updated_at: When its settings last changed.
    """

    id: str
    settings: WebhookSettings
    cursor: int
    last_error: str
    created_at: dt.datetime
    updated_at: dt.datetime


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that was given up.

    Attributes:
        number: Of the dead letter.
        event: What was to be sent.
        attempts: How often it was tried.
        reason: Why the last attempt failed.
        at: When it was given up.
    """

    number: int
    event: Event
    attempts: int
    reason: str
    at: dt.datetime
