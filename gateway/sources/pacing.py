"""Giving recorded frames at the speed at which they were taken."""

import threading

from gateway.domain.clock import Clock
from gateway.domain.ports import Gate
from gateway.sources.urls import Pace


class Pacer:
    """Waits until a frame is due; `stop` ends the wait.

    A consumer that falls behind by more than `LATE_S` moves the schedule: old frames aren't given in a burst.
    """

    LATE_S = 1.0

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._stopped = threading.Event()
        self._start_s: float | None = None

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def wait_turn(self, gate: Gate | None) -> bool:
        """Before a picture is decoded: wait until one is wanted, if nothing but the decoder sets the pace."""
        return self._pace is not Pace.MAX or gate is None or gate.wait_turn(self._stopped.is_set)

    def wait(self, elapsed_s: float) -> bool:
        """Wait until `elapsed_s` seconds after the first frame; False when stopped meanwhile."""
        if self._pace is Pace.MAX:
            return not self.stopped
        now_s = self._clock.monotonic()
        if self._start_s is None or now_s - self._start_s - elapsed_s > self.LATE_S:
            self._start_s = now_s - elapsed_s
        return not self._stopped.wait(max(0.0, self._start_s + elapsed_s - now_s))

    def restart(self) -> None:
        """The next frame is due at once, and those after it from there on; called by who waits."""
        self._start_s = None

    def stop(self) -> None:
        """End a wait, from any thread; later waits end at once."""
        self._stopped.set()
