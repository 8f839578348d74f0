"""Replicas within one process; a gateway that has no Redis is the only one."""

import asyncio
from collections.abc import Iterator

from gateway.domain.clock import Clock
from gateway.domain.ports import RuntimeListener
from gateway.domain.runtime import RuntimeEntry

GOODBYE_S = 3.0
"""The longest wait for other replicas to let go: frames of a CPU are given up after 2 s."""


class MemoryRuntimeDirectory:
    """Implements `gateway.domain.ports.RuntimeDirectory`.

    Args:
        clock: For intervals.
        expiry_s: An older entry isn't passed on.
        replicas: Of this process, by their directory; they share it.
    """

    def __init__(
        self, clock: Clock, expiry_s: float, replicas: "dict[MemoryRuntimeDirectory, RuntimeListener] | None" = None
    ) -> None:
        self._clock = clock
        self._expiry_s = expiry_s
        self._replicas = {} if replicas is None else replicas
        self._since_s: float | None = None

    @property
    def hearing_since_s(self) -> float | None:
        """Since when all that the others tell comes here: since it runs."""
        return self._since_s

    def tell(self, entry: RuntimeEntry) -> None:
        """Tell the others, unless it is too old."""
        if entry.age_s < self._expiry_s:
            for other in self._others():
                other.heard(entry)

    async def say_goodbye(self, runtime_id: str) -> None:
        """Have the others let go of a runtime; returns when they have, or could have by now."""
        leaving = [asyncio.create_task(other.gone(runtime_id)) for other in self._others()]
        if leaving:
            await asyncio.wait(leaving, timeout=GOODBYE_S)

    async def run(self, listener: RuntimeListener) -> None:
        """Pass on what the others tell, until cancelled; begins with what they know."""
        for other in self._others():
            for entry in other.known():
                if entry.age_s < self._expiry_s:
                    listener.heard(entry)
        self._replicas[self] = listener
        self._since_s = self._clock.monotonic()
        try:
            await asyncio.Event().wait()
        finally:
            del self._replicas[self]
            self._since_s = None

    def _others(self) -> Iterator[RuntimeListener]:
        return (listener for replica, listener in list(self._replicas.items()) if replica is not self)
