"""Frames of another program on this machine: `shm:///name?timeout=seconds`."""

import threading

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.errors import InvalidInputError, SourceStalledError, SourceUnavailableError
from gateway.sources.shared_ring import SharedRing, shared_path
from gateway.sources.timeline import LiveTimeline
from gateway.sources.urls import CameraUrl, check_options

OPTIONS = {"timeout": "1…3600"}
DEFAULT_TIMEOUT_S = 5.0
POLL_S = 0.005
"""Costs 0.3 % of a core; shared memory has nothing to wait on that a producer need not know of."""

NOMINAL_FRAME_S = 1 / 25


class ShmSource:
    """Reads the newest frame of a ring in shared memory, as soon as it is whole.

    Args:
        name: Of the ring, a file in `/dev/shm`.
        timeout_s: The source is lost when its producer has written nothing for so long.
        clock: For the time-out, and bounds frame time.
    """

    def __init__(self, name: str, *, timeout_s: float, clock: Clock) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._clock = clock
        self._stopped = threading.Event()
        self._busy = threading.Lock()
        self._ring: SharedRing | None = None
        self._timeline = LiveTimeline(0.0, NOMINAL_FRAME_S, clock)
        self._number = 0
        self._index = 0

    @classmethod
    def from_url(cls, url: CameraUrl, clock: Clock) -> "ShmSource":
        """Make one of a parsed camera URL.

        Raises:
            InvalidInputError: The name or an option can't be used.
        """
        check_options(url, OPTIONS)
        name = url.path.removeprefix("/")
        shared_path(name)
        return cls(name, timeout_s=_timeout_option(url), clock=clock)

    def open(self, anchor_s: float) -> None:
        """Open the ring. The frame that is in it already may be an old one: the next one is the first."""
        ring = SharedRing(self._name)
        with self._busy:
            self._ring = ring
            self._number = ring.newest()
        self._timeline = LiveTimeline(anchor_s, NOMINAL_FRAME_S, self._clock)

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The newest frame, once there is one that wasn't given yet; what the gate doesn't admit isn't copied."""
        lost_s = self._clock.monotonic() + self._timeout_s
        while True:
            with self._busy:
                if self._stopped.is_set() or self._ring is None:
                    return None
                number = self._newer(self._ring)
                frame = self._take(self._ring, number, gate) if number else None
            if frame is not None:
                return frame
            now_s = self._clock.monotonic()
            if number:
                lost_s = now_s + self._timeout_s
            elif now_s > lost_s:
                raise SourceStalledError(f"the producer of {self._name} has written no frame for {self._timeout_s:g} s")
            self._stopped.wait(POLL_S)

    def close(self) -> None:
        """Close the ring."""
        self._stopped.set()
        with self._busy:
            ring, self._ring = self._ring, None
            if ring is not None:
                ring.close()

    def _newer(self, ring: SharedRing) -> int:
        """Number of the newest frame, if it is another than the last one; else 0."""
        number = ring.newest()
        if number < self._number:
            raise SourceUnavailableError(f"the producer of {self._name} has begun to count anew")
        if number > self._number:
            return number
        if ring.replaced():
            raise SourceUnavailableError(f"the producer of {self._name} has gone, or has made its ring anew")
        return 0

    def _take(self, ring: SharedRing, number: int, gate: Gate | None) -> Frame | None:
        """Copy a frame if the gate admits it and it stays whole meanwhile; if not, there is a newer one already."""
        timestamp_ns = ring.timestamp_ns(number)
        if timestamp_ns is None:
            return None
        self._number = number
        pts_s, time_s = self._timeline.advance(timestamp_ns / 1e9)
        index, self._index = self._index, self._index + 1
        if gate is not None and not gate.admit(time_s):
            return None
        planes = ring.read(number)
        return None if planes is None else Frame(index, pts_s, time_s, *planes)


def _timeout_option(url: CameraUrl) -> float:
    try:
        timeout_s = float(url.options.get("timeout", DEFAULT_TIMEOUT_S))
    except ValueError:
        timeout_s = 0.0
    if not 1 <= timeout_s <= 3600:
        raise InvalidInputError(f"timeout is 1 to 3600 seconds, not {url.options['timeout']!r}")
    return timeout_s
