"""Time as a parameter."""

import datetime as dt
import math
import time
from typing import Protocol

STEP_S = 300.0
"""A wall clock that moves by more against the monotonic one was set, or the machine slept."""

PATIENCE_S = 3600.0


class Clock(Protocol):
    """Two times: one for intervals, one for records."""

    def monotonic(self) -> float:
        """Seconds that never step; for intervals."""
        ...

    def utcnow(self) -> dt.datetime:
        """Aware UTC; for records."""
        ...


class SystemClock:
    """The machine's clocks."""

    monotonic = staticmethod(time.monotonic)

    def utcnow(self) -> dt.datetime:
        """The current time, aware UTC."""
        return dt.datetime.now(dt.UTC)


def from_unix(time_s: float) -> dt.datetime:
    """Aware UTC time of a Unix time in seconds, to the millisecond (what a camera's clock is good for)."""
    return dt.datetime.fromtimestamp(round(time_s, 3), dt.UTC)


class StepWatch:
    """Tells whether the wall clock can be trusted with ages: not once it has stepped, for the hour after.

    A clock that was set wrong would make everything old. Set back within the hour it is trusted at once; after the
    hour it is taken for right.

    Args:
        clock: Both times. What its wall clock says now is taken for right.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._right_s = self._seen_s = self._offset_s()
        self._stepped_at_s = -math.inf  # monotonic

    def is_trusted(self) -> bool:
        """Look at the clock; a step is found by the first look after it."""
        now_s, offset_s = self._clock.monotonic(), self._offset_s()
        if abs(offset_s - self._seen_s) > STEP_S:
            self._stepped_at_s = now_s
        self._seen_s = offset_s
        if abs(offset_s - self._right_s) <= STEP_S or now_s - self._stepped_at_s >= PATIENCE_S:
            self._right_s = offset_s
        return self._right_s == offset_s

    @property
    def stepped_by(self) -> dt.timedelta:
        """How far the wall clock was from where it was trusted, when last looked at; negative where it was behind."""
        return dt.timedelta(seconds=round(self._seen_s - self._right_s))

    def _offset_s(self) -> float:
        return self._clock.utcnow().timestamp() - self._clock.monotonic()
