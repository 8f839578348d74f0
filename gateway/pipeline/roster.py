"""The runtimes as all replicas of the gateway know them."""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable, Sequence

from gateway.domain.capability import Capability
from gateway.domain.clock import Clock
from gateway.domain.ports import RuntimeDirectory
from gateway.domain.runtime import Drainage, RuntimeEntry, RuntimeStatus
from gateway.errors import NotFoundError, RuthError
from gateway.pipeline.registry import RuntimeRegistry

_logger = logging.getLogger(__name__)


class Roster:
    """Keeps this replica's registry in line with the others'. Implements `gateway.domain.ports.RuntimeListener`.

    Args:
        registry: The runtimes as this replica knows them.
        directory: How replicas tell each other.
        load: How many of this replica's frames are on their way to a runtime, and how many may be.
        clock: Both times.
    """

    def __init__(
        self,
        registry: RuntimeRegistry,
        directory: RuntimeDirectory,
        load: Callable[[str], tuple[int, int]],
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._directory = directory
        self._load = load
        self._clock = clock
        self._refused: dict[str, str] = {}

    async def run(self) -> None:
        """Take over what other replicas tell, until cancelled."""
        await self._directory.run(self)

    def register(self, capability: Capability) -> None:
        """Take a runtime's own declaration; `InvalidInputError`, `ConflictError`."""
        self._registry.register(capability)
        self._tell(capability.runtime_id)

    async def deregister(self, runtime_id: str) -> None:
        """Let go of a runtime, here and everywhere; `NotFoundError` if it isn't registered."""
        if self._registry.get(runtime_id) is None:
            raise NotFoundError(f"no runtime {runtime_id} is registered")
        await asyncio.gather(self.gone(runtime_id), self._directory.say_goodbye(runtime_id))

    def drain(self, runtime_id: str, *, draining: bool) -> None:
        """Send a runtime no more frames, or frames again, from any replica; `NotFoundError` if it isn't registered."""
        now, known = self._clock.utcnow(), self._registry.get(runtime_id)
        if known is not None:  # another replica's clock may be ahead, and yet this is decided later
            now = max(now, known.drainage.decided_at + dt.timedelta(microseconds=1))
        self._registry.drain(runtime_id, Drainage(draining=draining, decided_at=now))
        self._tell(runtime_id)

    def expire(self) -> None:
        """Forget the runtimes that no replica has heard of for three heartbeats."""
        self._registry.expire(self._directory.hearing_since_s)

    def statuses(self) -> Sequence[RuntimeStatus]:
        """Every registered runtime."""
        return [each.status(*self._load(each.capability.runtime_id)) for each in self._registry]

    def heard(self, entry: RuntimeEntry) -> None:
        """Another replica knows this of a runtime."""
        runtime_id = entry.capability.runtime_id
        known = self._registry.get(runtime_id)
        if known is not None and known.leaving:
            return  # it was told before the goodbye, or comes again
        try:
            self._registry.register(entry.capability, entry.age_s)
            self._registry.drain(runtime_id, entry.drainage)
        except RuthError as error:
            self._refuse(runtime_id, str(error))
        else:
            self._refused.pop(runtime_id, None)

    async def gone(self, runtime_id: str) -> None:
        """A runtime said goodbye, here or to another replica; returns when no frame is on its way to it any more."""
        if self._registry.get(runtime_id) is not None:
            await self._registry.retire(runtime_id, lambda: self._load(runtime_id)[0])

    def known(self) -> Sequence[RuntimeEntry]:
        """Every runtime that this replica knows, but for those that leave."""
        now_s = self._clock.monotonic()
        return [registered.entry(now_s) for registered in self._registry if not registered.leaving]

    def _tell(self, runtime_id: str) -> None:
        registered = self._registry.get(runtime_id)
        if registered is not None:
            self._directory.tell(registered.entry(self._clock.monotonic()))

    def _refuse(self, runtime_id: str, reason: str) -> None:
        """Say, once, that another replica has a runtime that this one can't use."""
        if self._refused.get(runtime_id) != reason:
            self._refused[runtime_id] = reason
            extra = {"runtime_id": runtime_id, "reason": reason}
            _logger.warning("a runtime that another replica knows can't be used here", extra=extra)
