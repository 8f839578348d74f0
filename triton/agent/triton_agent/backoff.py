"""How long to wait before tritonserver is started again."""

from dataclasses import dataclass, field

FIRST_DELAY_S = 0.1
SECOND_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
HEALTHY_AFTER_S = 60.0


@dataclass(slots=True)
class Backoff:
    """Delays between restarts: the first at once, then doubling up to half a minute; a minute of health starts over."""

    failures: int = field(default=0, init=False)

    def delay_s(self, healthy_s: float, jitter: float) -> float:
        """Seconds to wait after a failure.

        Args:
            healthy_s: How long the server that failed had been serving, 0 if it never was ready.
            jitter: Uniform in [0, 1): takes up to a quarter off, so that several servers don't return in step.
        """
        self.failures = 1 if healthy_s >= HEALTHY_AFTER_S else self.failures + 1
        if self.failures == 1:
            return FIRST_DELAY_S
        # The exponent is bounded so that a server that fails for days can't overflow a float.
        doubled = SECOND_DELAY_S * 2.0 ** min(self.failures - 2, 16)
        return min(LONGEST_DELAY_S, doubled) * (1 - jitter / 4)
