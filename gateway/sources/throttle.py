"""Holding back a camera that floods: it costs bounded work, whatever it sends."""


class Throttle:
    """A token bucket: so many a second, and so many at once.

    Args:
        per_s: Tokens a second.
        burst: Tokens that are there at first, and at most.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._at_s: float | None = None

    def take(self, now_s: float) -> float:
        """Take one token; how many seconds to wait before the next is taken."""
        if self._at_s is not None:
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)
