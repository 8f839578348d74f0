"""Looks at a runtime now and then, and corrects its limits by what it sees."""

import asyncio
from collections.abc import Callable

from gateway.domain.capability import RuntimeLimits
from gateway.domain.clock import Clock
from gateway.domain.load import LimitCorrection, RuntimeCounters, RuntimeLoad, load_between
from gateway.domain.runtime import RuntimeState
from gateway.errors import InferenceError
from gateway.inference.statistics import TritonObserver
from gateway.pipeline.guarded import GuardedRuntime

LOOK_S = 2.0


class WatchedRuntime:
    """Asks Triton every `LOOK_S`, one look at a time, while frames may go to it.

    Args:
        guarded: Where frames go.
        observer: Asks Triton.
        allowed: What declaration and adaptation table allow now.
        clock: For intervals.
        on_change: Called when the limits have changed.

    Attributes:
        load: What it did between the last two looks; None before, and while it isn't ready.
        correction: What that makes of its limits.
    """

    def __init__(
        self,
        guarded: GuardedRuntime,
        observer: TritonObserver,
        allowed: Callable[[], RuntimeLimits],
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.load: RuntimeLoad | None = None
        self.correction = LimitCorrection()
        self._guarded = guarded
        self._observer = observer
        self._allowed = allowed
        self._clock = clock
        self._on_change = on_change

    @property
    def limits(self) -> RuntimeLimits:
        """What the scheduler is to keep to."""
        contracts = self._guarded.connection.contracts.values()
        return self.correction.limits(self._allowed(), max((each.max_batch_size for each in contracts), default=0))

    async def run(self) -> None:
        """Look until cancelled."""
        before: RuntimeCounters | None = None
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                before = await self._look(before)
        finally:
            await self._observer.close()

    async def _look(self, before: RuntimeCounters | None) -> RuntimeCounters | None:
        guarded = self._guarded
        if guarded.connection.state is not RuntimeState.READY:
            self.load = None
            return None
        try:
            now = await self._observer.look(self._clock.monotonic(), guarded.answered, guarded.late)
        except InferenceError:  # whose frames tell the breaker
            self.load = None
            return None
        self.load = None if before is None else load_between(before, now)
        if self.load is not None and guarded.ready:
            limits = self.limits
            self.correction.observe(self.load, self._allowed())
            if self.limits != limits:
                self._on_change()
        return now
