"""How many frames may be on their way to one runtime."""

import math


class GradientWindow:
    """An in-flight window that follows measured latency.

    The Gradient2 rule of Netflix's concurrency-limits: the window shrinks in proportion as recent latency rises above
    its long-term level, and grows by the square root of itself while it is in use and latency holds.

    Args:
        initial: Window to begin with; also the smallest number that can fill the runtime's batches.
        maximum: Never more than this.
    """

    _TOLERANCE = 1.5
    _SMOOTHING = 0.2
    _LONG_TERM = 1 / 300

    def __init__(self, initial: int, maximum: int) -> None:
        self._minimum = float(initial)
        self._maximum = float(max(initial, maximum))
        self._size = float(initial)
        self._long_s: float | None = None

    @property
    def size(self) -> int:
        """Frames that may be in flight now, at least 1."""
        return max(1, int(self._size))

    def observe(self, latency_s: float, in_flight: int) -> None:
        """Take the latency of one answered frame into account; `in_flight` counts it too."""
        self._long_s = (
            latency_s if self._long_s is None else self._long_s + (latency_s - self._long_s) * self._LONG_TERM
        )
        if in_flight * 2 < self._size:
            return
        gradient = min(1.0, max(0.5, self._TOLERANCE * self._long_s / latency_s)) if latency_s > 0 else 1.0
        target = self._size * gradient + math.sqrt(self._size)
        size = self._size + (target - self._size) * self._SMOOTHING
        self._size = min(self._maximum, max(self._minimum, size))
