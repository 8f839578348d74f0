"""The FPS gate: which of a camera's frames are worth looking at."""

import math
from collections.abc import Callable


class FpsGate:
    """Lets through at most `fps` frames per second of frame time.

    The due time advances by whole periods; a frame up to `EARLY` periods before it is on time, and one up to `LATE`
    periods after it doesn't move the schedule. Comparing with the last accepted frame instead would lose 17 to 37 % of
    the budget as soon as frame times jitter. The two together span two periods, so that a camera whose own rate is the
    one asked for loses nothing to a jitter of half a period either way; a schedule that moved with every frame a period
    late would lose 12 to 16 % of it. A changed rate starts a new schedule, one of its periods after the last accepted
    frame or later: changes are no occasion for frames beyond either rate.
    """

    EARLY = 0.25
    LATE = 1.75

    def __init__(self, fps: float) -> None:
        self._fps = self._asked_fps = fps
        self._due_s: float | None = None
        self._admitted_s = -math.inf

    @property
    def fps(self) -> float:
        """Frames per second let through; 0 lets none through. May be set from any thread, holds from the next frame."""
        return self._asked_fps

    @fps.setter
    def fps(self, fps: float) -> None:
        self._asked_fps = fps

    def admit(self, time_s: float) -> bool:
        """Decide on a frame of frame time `time_s` (seconds, not decreasing)."""
        if self._asked_fps != self._fps:
            self._fps, self._due_s = self._asked_fps, None
        if self._fps <= 0:
            return False
        if self._due_s is None:
            if time_s < self._admitted_s + 1 / self._fps:
                return False
            self._due_s = time_s
        periods_late = (time_s - self._due_s) * self._fps
        if periods_late < -self.EARLY:
            return False
        periods_missed = max(0, int(periods_late - self.LATE + 1))
        self._due_s += (periods_missed + 1) / self._fps
        self._admitted_s = time_s
        return True

    def wait_turn(self, stopped: Callable[[], bool]) -> bool:  # noqa: ARG002 - for gates that wait
        """Every frame may be had at once."""
        return True
