"""Frame time from a stream's own timestamps."""

from collections.abc import Callable

from gateway.domain.clock import Clock


class Timeline:
    """Turns presentation times into frame times that never go backwards.

    A timestamp more than `DISCONTINUITY_S` before the last one means that the stream has started its clock anew (a
    joined recording, a counter that wrapped): time goes on by one frame instead of standing still until it catches up.

    Args:
        anchor_s: Frame time of the first frame, in seconds.
        frame_s: Nominal time between frames, in seconds; used where a frame has no timestamp or a stream starts over.
    """

    DISCONTINUITY_S = 1.0

    def __init__(self, anchor_s: float, frame_s: float) -> None:
        self._start_s = self._anchor_s = anchor_s
        self._frame_s = frame_s
        self._first_pts_s: float | None = None
        self._pts_s = -frame_s

    def elapsed_s(self) -> float:
        """Frame time between the first frame of all and the last one placed, loops included."""
        return self._anchor_s - self._start_s + max(0.0, self._pts_s)

    def advance(self, pts_s: float | None) -> tuple[float, float]:
        """Place the next frame.

        Args:
            pts_s: Its presentation time in the stream, in seconds; None where it has none.

        Returns:
            Seconds since the first frame, and the frame time.
        """
        if pts_s is None:
            self._pts_s += self._frame_s
        else:
            if self._first_pts_s is None:
                self._first_pts_s = pts_s
            if pts_s - self._first_pts_s < self._pts_s - self.DISCONTINUITY_S:
                self._first_pts_s = pts_s - self._pts_s - self._frame_s
            self._pts_s = max(self._pts_s, pts_s - self._first_pts_s, 0.0)
        return self._pts_s, self._anchor_s + self._pts_s

    def at(self, pts_s: float) -> float:
        """The frame time that a picture of this presentation time has, as things stand; nothing is placed."""
        return self._anchor_s + (0.0 if self._first_pts_s is None else max(0.0, pts_s - self._first_pts_s))

    def restart(self) -> None:
        """The stream begins again (a loop): its next frame follows the last one after one frame's time."""
        self._anchor_s += self._pts_s + self._frame_s
        self._first_pts_s, self._pts_s = None, -self._frame_s


class LiveTimeline(Timeline):
    """The timeline of a camera that is live: it stays within `drift_s` of the time that has passed since it began.

    A camera's clock may be wrong, jump, or run fast or slow for days; frame time then follows ours instead.

    Args:
        anchor_s: As of `Timeline`.
        frame_s: As of `Timeline`.
        clock: Ours; its monotonic time counts from the first frame on.
        on_set: Called when frame time was set to ours, before `advance` returns.

    Attributes:
        drift_s: May be changed.
    """

    DRIFT_S = 5.0

    def __init__(
        self, anchor_s: float, frame_s: float, clock: Clock, on_set: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(anchor_s, frame_s)
        self._clock = clock
        self._on_set = on_set
        self.drift_s = self.DRIFT_S
        self._began_s: float | None = None

    def advance(self, pts_s: float | None) -> tuple[float, float]:
        """Place the next frame, which has come now."""
        now_s = self._clock.monotonic()
        if self._began_s is None:
            self._began_s = now_s
        before_s, passed_s = max(0.0, self._pts_s), now_s - self._began_s
        super().advance(pts_s)
        if abs(self._pts_s - passed_s) > self.drift_s:
            self._pts_s = max(before_s, passed_s)
            self._first_pts_s = None if pts_s is None else pts_s - self._pts_s
            self._on_set()
        return self._pts_s, self._anchor_s + self._pts_s
