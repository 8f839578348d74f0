"""How many frames may be on their way to one runtime."""

import statistics
from collections.abc import Hashable


class LatencyWindow:
    """An in-flight window that keeps a runtime busy, and hardly more frames waiting there than that takes.

    TCP Vegas' rule: of the frames in flight the part `1 - unhurried / latency` waits, by Little's law, where
    `unhurried` is the latency with the smallest window. The window tends to where half of the smallest one do, and one
    frame more. A rule that compares latency with its own long-term level, as Gradient2's, takes a queue that is always
    there for a slow runtime, and grows to the maximum wherever there are frames enough.

    The unhurried latency is a median of `PROBE` answers, to begin with and again after every `PROBE_EVERY`: a runtime
    may have become slower.

    Args:
        initial: Window to begin with; also the smallest: what can fill the runtime's batches.
        maximum: Never more than this.
    """

    PROBE = 16
    PROBE_EVERY = 1000
    _SMOOTHING, _GAIN = 0.1, 0.05

    def __init__(self, initial: int, maximum: int) -> None:
        self._minimum = float(initial)
        self._maximum = float(max(initial, maximum))
        self._size = float(initial)
        self._unhurried_s: dict[Hashable, float] = {}
        self._waiting = 1 + self._minimum / 2
        self._waiting_share = 0.0
        self._until_probe = 0
        self._still_hurried = 0
        self._probed_s: list[tuple[Hashable, float]] = []

    @property
    def size(self) -> int:
        """Frames that may be in flight now."""
        return round(self._size if self._until_probe else self._minimum)

    def observe(self, model: Hashable, latency_s: float, in_flight: int) -> None:
        """Take the latency of one answered frame into account.

        Args:
            model: Whose answer: models differ in how long they take.
            latency_s: From sending to the answer.
            in_flight: Frames on their way, this one included.
        """
        if self._until_probe == 0:
            self._probe(model, latency_s)
            return
        unhurried_s = self._unhurried_s.setdefault(model, latency_s)
        share = 1 - unhurried_s / max(latency_s, unhurried_s / 2)
        self._waiting_share += (share - self._waiting_share) * self._SMOOTHING
        if in_flight * 2 >= self._size:  # where it isn't used, latency says nothing of it
            target = in_flight * (1 - self._waiting_share) + self._waiting
            size = self._size + (target - self._size) * self._GAIN
            self._size = min(self._maximum, max(self._minimum, size))
        self._until_probe -= 1
        self._still_hurried = in_flight

    def _probe(self, model: Hashable, latency_s: float) -> None:
        if self._still_hurried > 0:
            self._still_hurried -= 1
            return
        self._probed_s.append((model, latency_s))
        if len(self._probed_s) == self.PROBE:
            for each in {model for model, _ in self._probed_s}:
                self._unhurried_s[each] = statistics.median(s for model, s in self._probed_s if model == each)
            self._probed_s, self._until_probe = [], self.PROBE_EVERY
