"""Time as a parameter."""

import datetime as dt
import time
from typing import Protocol


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
