"""Registers this runtime with the gateway, repeats it as a heartbeat, and takes it back at the end."""

import asyncio
import contextlib
from enum import StrEnum
from urllib.parse import quote

from triton_agent.errors import MissingError, UnreachableError
from triton_agent.logs import Level, Log
from triton_agent.rest import Reply, call
from triton_agent.runtime import Runtime
from triton_agent.settings import Gateway

TIMEOUT_S = 2.0
WITHDRAW_TIMEOUT_S = 5.0  # the gateway answers when the last frame is done with: after 2 s at most
SHORTEST_HEARTBEAT_S, LONGEST_HEARTBEAT_S = 0.1, 60.0  # whatever a gateway asks for


class Standing(StrEnum):
    """How this runtime stands with its gateway, in words for the log."""

    REGISTERED = "registered with the gateway"
    UNREACHABLE = "the gateway can't be reached, trying on"
    REFUSED = "the gateway refuses this runtime"
    UNKNOWN = "the hardware can't be asked, declaring nothing until it can"


LEVELS = {
    Standing.REGISTERED: Level.INFO,
    Standing.UNREACHABLE: Level.WARN,
    Standing.REFUSED: Level.ERROR,
    Standing.UNKNOWN: Level.ERROR,
}


class Registration:
    """Keeps the gateway informed; an outage of the gateway is logged once and never holds anything up.

    Args:
        gateway: Where to register.
        runtime: What to declare.
        log: Where outages and refusals are told.
    """

    def __init__(self, gateway: Gateway, runtime: Runtime, log: Log) -> None:
        self._url = f"{gateway.url}/api/internal/runtime"
        self._token = gateway.token
        self._heartbeat_s = gateway.heartbeat_s
        self._runtime = runtime
        self._log = log
        self._told: tuple[Standing, object] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Register now, at every heartbeat and at once when the runtime changes; once `stop` is set, withdraw."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._runtime.changed.clear()
            await self._register()
            change = asyncio.create_task(self._runtime.changed.wait())
            await asyncio.wait([stopping, change], timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
        stopping.cancel()
        await self._withdraw()

    async def _withdraw(self) -> None:
        """Say goodbye. The gateway answers when nothing is on its way here any more, or will notice by itself."""
        url = f"{self._url}/{quote(self._runtime.runtime_id, safe='')}"
        with contextlib.suppress(UnreachableError):
            await asyncio.to_thread(call, "DELETE", url, token=self._token, timeout_s=WITHDRAW_TIMEOUT_S)

    async def _register(self) -> None:
        try:
            body = (await self._runtime.capabilities()).as_json()
            reply = await asyncio.to_thread(
                call, "POST", f"{self._url}/register", body=body, token=self._token, timeout_s=TIMEOUT_S
            )
        except UnreachableError as error:
            self._tell(Standing.UNREACHABLE, detail=str(error))
        except MissingError as error:
            self._tell(Standing.UNKNOWN, detail=str(error))
        else:
            self._judge(reply)

    def _judge(self, reply: Reply) -> None:
        """Draw the consequences of an answer."""
        if 200 <= reply.status < 300:
            self._tell(Standing.REGISTERED)
            interval = reply.body.get("heartbeat_interval_s") if isinstance(reply.body, dict) else None
            if isinstance(interval, int | float) and interval > 0:
                self._heartbeat_s = min(max(interval, SHORTEST_HEARTBEAT_S), LONGEST_HEARTBEAT_S)
        else:
            detail = reply.body.get("detail", "") if isinstance(reply.body, dict) else ""
            self._tell(Standing.REFUSED, status=reply.status, detail=detail)

    def _tell(self, standing: Standing, **fields: object) -> None:
        """Log a change of standing, and only a change."""
        change = (standing, fields.get("status"))
        if change != self._told:
            self._told = change
            self._log.write(LEVELS[standing], standing.value, gateway=self._url, **fields)
