"""One attempt to post an event."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from gateway.delivery.addresses import Network, resolve
from gateway.delivery.signature import signed_headers
from gateway.domain.clock import Clock
from gateway.domain.event import Event
from gateway.domain.webhook import WebhookSettings, check_url
from gateway.errors import DeliveryError, DeliveryRefusedError, InvalidInputError
from gateway.masking import mask_secrets

if TYPE_CHECKING:
    import httpx

_logger = logging.getLogger(__name__)

LOOKUPS = 4
"""Names that are looked up at once. In threads of their own: the evidence waits for those that all share."""

TAKEN, REDIRECTED, REFUSED = 2, 3, 4
"""Hundreds of a status; whatever comes after them is read by these alone (RFC 9110, section 15)."""

COME_AGAIN = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


class Poster:
    """Posts events. Follows no redirect, asks no proxy, reads no answer beyond its status.

    Args:
        allowed: Networks that may be connected to though they aren't public.
        clock: For the signature's timestamp.
        timeout_s: For name, connection and status together.
    """

    def __init__(self, allowed: Sequence[Network], clock: Clock, timeout_s: float = 10.0) -> None:
        self._allowed = allowed
        self._clock = clock
        self._timeout_s = timeout_s
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-name")
        self._http: httpx.AsyncClient | None = None
        self._agent = f"ruth-ai/{version('ruth-ai')}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lookups.shutdown(wait=False, cancel_futures=True)
        if self._http is not None:
            await self._http.aclose()

    async def post(self, settings: WebhookSettings, message_id: str, event: Event) -> None:
        """Send an event; done when the receiver answers with a status of 2xx.

        Raises:
            DeliveryError: It didn't, or can't be reached.
            DeliveryRefusedError: It refuses this event.
        """
        import httpx  # late, and its certificates with the client: they cost a start that sends nothing a tenth

        try:
            async with asyncio.timeout(self._timeout_s):
                status = await self._send(settings, message_id, msgspec.json.encode(event))
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise DeliveryError(mask_secrets(str(error)) or type(error).__name__) from error
        except DeliveryError:
            raise
        except Exception as error:  # a bug costs the attempt: the webhook goes on, and shows it
            _logger.exception("a bug in what posts to webhooks")
            raise DeliveryError(f"internal error: {type(error).__name__}, see the gateway's log") from error
        if status // 100 == REDIRECTED:
            raise DeliveryError(f"answered {status}; redirects aren't followed, give the final URL")
        if status // 100 == REFUSED and status not in COME_AGAIN:
            raise DeliveryRefusedError(f"answered {status}")
        if status // 100 != TAKEN:
            raise DeliveryError(f"answered {status}")

    async def _send(self, settings: WebhookSettings, message_id: str, body: bytes) -> int:
        import httpx

        try:
            check_url(settings.url)
        except InvalidInputError as error:
            raise DeliveryError(str(error)) from error
        url = httpx.URL(settings.url)
        name = url.raw_host.decode("ascii")  # `host` would decode it, and raise where IDNA refuses what it stands for
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await resolve(name, port, self._allowed, self._lookups)
        headers = {
            "Host": url.netloc.decode(),
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            **signed_headers(message_id, int(self._clock.utcnow().timestamp()), body, settings.secret),
        }
        # TLS asks for the certificate of the name, though the connection is made to the address.
        names = {"sni_hostname": name}
        pinned = url.copy_with(host=str(address))
        if self._http is None:
            self._http = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=self._timeout_s)
        async with self._http.stream("POST", pinned, content=body, headers=headers, extensions=names) as answer:
            return answer.status_code
