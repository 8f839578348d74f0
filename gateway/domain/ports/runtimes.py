"""How replicas tell each other of runtimes."""

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.runtime import RuntimeEntry


class RuntimeListener(Protocol):
    """A replica's own view of the runtimes, as the directory keeps it in line with the others'."""

    def heard(self, entry: RuntimeEntry) -> None:
        """Another replica knows this of a runtime."""
        ...

    async def gone(self, runtime_id: str) -> None:
        """A runtime said goodbye to another replica; returns when nothing of this one is on its way to it any more."""
        ...

    def known(self) -> Sequence[RuntimeEntry]:
        """Every runtime that this replica knows."""
        ...


class RuntimeDirectory(Protocol):
    """Carries what the gateway's replicas know of runtimes from one to the others. What it keeps expires."""

    @property
    def hearing_since_s(self) -> float | None:
        """Since when (monotonic seconds) all that the others tell comes here; None while it may not."""
        ...

    def tell(self, entry: RuntimeEntry) -> None:
        """Tell the others, those that begin later too, until it is too old. Never blocks."""
        ...

    async def say_goodbye(self, runtime_id: str) -> None:
        """Have the others let go of a runtime; returns when they have, or could have by now."""
        ...

    async def run(self, listener: RuntimeListener) -> None:
        """Pass on what the others tell, until cancelled."""
        ...
