"""Time in which nobody looked at a camera: nothing reported then doesn't mean that nothing was there."""

from collections import defaultdict
from collections.abc import Callable, Iterable

PATIENCE_S = 1.0
PATIENCE_FRAMES = 2


class Blindness:
    """Seconds in which frames of one camera were due and none was judged, by reason. Pure: time comes in.

    A camera is blind once no frame has been judged for two periods of its granted rate and a second; it has been since
    the first frame that was missed. So are those of its rules that are to judge just then.

    Args:
        watching: Ids of these rules; asked only when there is blind time to count.

    Attributes:
        seconds: By reason.
        rules: The same of each rule, by its id.
    """

    def __init__(self, watching: Callable[[], Iterable[str]]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.rules: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._watching = watching
        self._seen_s: float | None = None
        self._counted_to_s = 0.0
        self._since_seen_s = 0.0

    def wait(self, now_s: float, period_s: float, reason: str) -> None:
        """No frame has been judged since the last call.

        Args:
            now_s: The time, in monotonic seconds; the first call says when frames are due from.
            period_s: Seconds between two frames that are due.
            reason: Why there is none, should that be so for too long.
        """
        if self._seen_s is None:
            self._seen_s = now_s
        if now_s - self._seen_s <= PATIENCE_S + PATIENCE_FRAMES * period_s:
            return
        blind_s = now_s - max(self._counted_to_s, self._seen_s + period_s)
        self._counted_to_s = now_s
        self._since_seen_s += blind_s
        self.seconds[reason] += blind_s
        for rule_id in self._watching():
            self.rules[rule_id][reason] += blind_s

    def see(self, now_s: float, period_s: float, reason: str) -> float:
        """A frame is judged now; returns the seconds since the one before in which nobody looked."""
        self.wait(now_s, period_s, reason)
        blind_s, self._since_seen_s = self._since_seen_s, 0.0
        self._seen_s = self._counted_to_s = now_s
        return blind_s
