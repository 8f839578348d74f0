"""A circuit breaker: no frames for what keeps failing, until one real try has succeeded."""

from collections import deque
from enum import StrEnum

CONSECUTIVE_FAILURES = 5  # Envoy's `consecutive_5xx`
SILENT_FAILURES, SILENT_S = 2, 1.0  # fewer do where nothing at all has come back for so long
WINDOW, FAILURE_RATE = 20, 0.5
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0
SETTLED_S = 30.0


class BreakerState(StrEnum):
    """CLOSED: frames go; OPEN: none until a try is due; HALF_OPEN: the try is on its way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Decides from outcomes whether to go on. Each call takes the monotonic time in seconds.

    It opens after `CONSECUTIVE_FAILURES`, after `SILENT_FAILURES` where nothing has succeeded for `SILENT_S`, or when
    `FAILURE_RATE` of the last `WINDOW` outcomes failed. Outcomes of what was sent before it opened change nothing then.
    The wait before each try is drawn by its caller, as `jitter` in [0, 1), from all of an interval that doubles with
    every try (full jitter, Brooker 2015); `SETTLED_S` closed start it over.

    Attributes:
        state: Whether frames may go.
        reason: The failure that opened it, or that the last try met; empty while closed.
        try_at_s: When a try is due; None unless open.
    """

    def __init__(self, now_s: float) -> None:
        self.state = BreakerState.CLOSED
        self.reason = ""
        self.try_at_s: float | None = None
        self._succeeded_s = self._closed_s = now_s
        self._consecutive = 0
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._tries = 0

    @property
    def closed(self) -> bool:
        """Whether frames may go."""
        return self.state is BreakerState.CLOSED

    def succeed(self, now_s: float) -> None:
        """An answer came."""
        if self.closed:
            self._succeeded_s, self._consecutive = now_s, 0
            self._recent.append(True)

    def fail(self, now_s: float, reason: str, jitter: float) -> None:
        """No answer came, or none that is of use."""
        if not self.closed:
            return
        self._consecutive += 1
        self._recent.append(False)
        silent = self._consecutive >= SILENT_FAILURES and now_s - self._succeeded_s >= SILENT_S
        often = len(self._recent) == WINDOW and self._recent.count(False) >= WINDOW * FAILURE_RATE
        if silent or often or self._consecutive >= CONSECUTIVE_FAILURES:
            self.trip(now_s, reason, jitter)

    def trip(self, now_s: float, reason: str, jitter: float) -> None:
        """Open at once: what has happened leaves no doubt."""
        if self.closed and now_s - self._closed_s >= SETTLED_S:
            self._tries = 0
        self.state, self.reason = BreakerState.OPEN, reason
        self.try_at_s = now_s + jitter * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self._tries, 16))

    def hasten(self, now_s: float) -> None:
        """Something has changed that makes a try worth while now."""
        if self.try_at_s is not None:
            self.try_at_s = min(self.try_at_s, now_s)

    def begin_try(self) -> None:
        """One real request is being sent, to see."""
        self.state, self.try_at_s = BreakerState.HALF_OPEN, None

    def end_try(self, now_s: float, failure: str, jitter: float) -> None:
        """It was answered (`failure` is empty), or failed."""
        if self.state is not BreakerState.HALF_OPEN:
            return
        self._tries += 1
        if failure:
            self.trip(now_s, failure, jitter)
            return
        self.state, self.reason = BreakerState.CLOSED, ""
        self._succeeded_s = self._closed_s = now_s
        self._consecutive = 0
        self._recent.clear()
