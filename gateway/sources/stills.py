"""Cameras that send one coded picture after the other."""

from collections.abc import Callable

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.domain.still import Still
from gateway.errors import SourceFormatError, SourceUnavailableError
from gateway.sources.feed import Connection, Feed, Patience
from gateway.sources.picture import StillDecoder
from gateway.sources.timeline import Timeline

FRAME_S = 0.04
WAITING_STILLS = 2
WAITING_BYTES = 40_000_000
MAX_BROKEN = 10


class StillSource:
    """Reads pictures from a connection; the gate is asked before a picture is decoded.

    Args:
        where: What to call the camera in errors.
        connect: Opens it; called in a thread of its own.
        clock: Bounds what is read.
        patience: How long it is waited for.
    """

    def __init__(self, where: str, connect: Callable[[], Connection[Still]], clock: Clock, patience: Patience) -> None:
        self._where = where
        self._connect = connect
        self._patience = patience
        self._feed: Feed[Still] = Feed(f"receive-{where}", clock, WAITING_STILLS, WAITING_BYTES)
        self._decoder = StillDecoder()
        self._timeline = Timeline(0.0, FRAME_S)
        self._index = 0
        self._broken = 0

    def open(self, anchor_s: float) -> None:
        """Connect."""
        self._timeline = Timeline(anchor_s, FRAME_S)
        self._feed.connect(self._connect, self._patience.open_s)

    def read(self, gate: Gate | None = None) -> Frame | None:
        """The next picture."""
        while not self._feed.closed:
            still, _ = self._feed.take(self._patience.stall_s)
            if still is None:
                break
            index, (pts_s, time_s) = self._index, self._timeline.advance(still.time_s)
            self._index += 1
            if gate is None or gate.admit(time_s):
                frame = self._decode(still, index, pts_s, time_s)
                if frame is not None:
                    return frame
        if not self._feed.closed:
            raise SourceUnavailableError(f"{self._where} has ended the stream")
        return None

    def close(self) -> None:
        """Let go of the camera."""
        self._feed.close()

    def _decode(self, still: Still, index: int, pts_s: float, time_s: float) -> Frame | None:
        """Decode a picture; a broken one costs itself, a number in a row the connection."""
        try:
            frame = self._decoder.frame(still, index, pts_s, time_s)
        except SourceFormatError as error:
            self._broken += 1
            if self._broken > MAX_BROKEN:
                raise SourceUnavailableError(f"{self._where}: {error}") from error
            return None
        self._broken = 0
        return frame
