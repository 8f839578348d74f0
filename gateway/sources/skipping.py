"""Which of a stream's pictures need decoding at all, decided from the rate that is looked at."""

import math
from collections import deque
from enum import Enum

REMEMBERED_GROUPS = 4
SLOWEST_FPS_OF_KEYS = 1.0


class Skipping(Enum):
    """Which pictures are left undecoded."""

    NOTHING = "nothing"
    NON_REFERENCE = "non-reference"
    NON_KEY = "non-key"


class SkipPolicy:
    """Chooses at each key picture what to skip until the next one.

    - Key pictures alone, where at most one picture a second is looked at and key pictures come at least so often.
    - Without the pictures that no other refers to, where at most half the stream's rate is looked at. How far apart
      the others are is known only once it was tried: if too far for the rate, everything is decoded again.

    Args:
        stream_fps: The stream's own rate.
    """

    def __init__(self, stream_fps: float) -> None:
        self._stream_fps = stream_fps
        self._key_steps_s: deque[float] = deque(maxlen=REMEMBERED_GROUPS)
        self._last_key_s: float | None = None
        self._last_picture_s: float | None = None
        self._widest_step_s = 0.0
        self._reference_step_s = 0.0
        self.skipping = Skipping.NOTHING

    def picture(self, time_s: float) -> None:
        """A picture of this time was decoded."""
        if self._last_picture_s is not None:
            self._widest_step_s = max(self._widest_step_s, time_s - self._last_picture_s)
        self._last_picture_s = time_s

    def key(self, time_s: float, wanted_fps: float) -> Skipping:
        """A key picture of this time comes next, and `wanted_fps` pictures a second are looked at: what to skip now."""
        if self._last_key_s is not None:
            self._key_steps_s.append(time_s - self._last_key_s)
        self._last_key_s = time_s
        if self.skipping is Skipping.NON_REFERENCE:
            self._reference_step_s = max(self._reference_step_s, self._widest_step_s)
        self._last_picture_s, self._widest_step_s = None, 0.0
        self.skipping = self._choose(wanted_fps)
        return self.skipping

    def _choose(self, wanted_fps: float) -> Skipping:
        wanted_step_s = 1 / wanted_fps if wanted_fps > 0 else math.inf
        known = len(self._key_steps_s) >= 2
        if known and wanted_fps <= SLOWEST_FPS_OF_KEYS and max(self._key_steps_s) <= wanted_step_s * 1.01:
            return Skipping.NON_KEY
        if wanted_fps <= self._stream_fps / 2 and self._reference_step_s <= wanted_step_s:
            return Skipping.NON_REFERENCE
        return Skipping.NOTHING
