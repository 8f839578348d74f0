"""Cameras whose pictures are sent to the API: `push:`."""

import threading
from concurrent.futures import Future

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Gate
from gateway.domain.still import Still
from gateway.errors import InvalidInputError, SourceFormatError, SourceUnavailableError
from gateway.sources.media import MediaSettings
from gateway.sources.picture import Damage, StillDecoder
from gateway.sources.stills import FRAME_S
from gateway.sources.timeline import Timeline
from gateway.sources.urls import CameraUrl, check_options


class PushSource:
    """Gives the pictures that are offered, at most one of which waits: a newer one takes its place."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._waiting: tuple[Still, Future[bool]] | None = None
        self._decoder = StillDecoder(Damage.REFUSED)
        self._timeline = Timeline(0.0, FRAME_S)
        self._index = 0

    @classmethod
    def from_url(cls, url: CameraUrl, _clock: Clock, _media: MediaSettings) -> "PushSource":
        """Make one of a parsed camera URL.

        Raises:
            InvalidInputError: There is more than the scheme.
        """
        check_options(url, {})
        if url.path or url.text.partition(":")[2]:
            raise InvalidInputError("a push URL is push: and nothing more; pictures go to /api/v1/cameras/{id}/frames")
        return cls()

    def offer(self, still: Still) -> "Future[bool]":
        """Put a picture in; from any thread.

        Returns:
            Whether it is looked at: False where it came too soon for the rate, or a newer one took its place. Raises
            `SourceFormatError` where it can't be decoded, `SourceUnavailableError` where the camera was stopped. While
            it waits it can be cancelled: then it is passed over.
        """
        answer: Future[bool] = Future()
        with self._changed:
            replaced, self._waiting = self._waiting, (still, answer)
            closed = self._closed
            self._changed.notify_all()
        if replaced is not None and _is_awaited(replaced[1]):
            replaced[1].set_result(False)
        if closed:
            self._refuse_waiting()
        return answer

    def open(self, anchor_s: float) -> None:
        """Begin."""
        self._timeline = Timeline(anchor_s, FRAME_S)

    def read(self, gate: Gate | None = None) -> Frame | None:
        """Wait for the next picture that the gate admits and that can be decoded."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                offered, self._waiting = self._waiting, None
            if offered is None:
                return None
            frame = self._look(*offered, gate) if _is_awaited(offered[1]) else None
            if frame is not None:
                return frame

    def close(self) -> None:
        """Take no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._refuse_waiting()

    def _look(self, still: Still, answer: "Future[bool]", gate: Gate | None) -> Frame | None:
        if self._closed:
            answer.set_exception(SourceUnavailableError("the camera was stopped"))
            return None
        index, (pts_s, time_s) = self._index, self._timeline.advance(still.time_s)
        self._index += 1
        if gate is not None and not gate.admit(time_s):
            answer.set_result(False)
            return None
        try:
            frame = self._decoder.frame(still, index, pts_s, time_s)
        except SourceFormatError as error:
            answer.set_exception(error)
            return None
        answer.set_result(True)
        return frame

    def _refuse_waiting(self) -> None:
        with self._changed:
            refused, self._waiting = self._waiting, None
        if refused is not None and _is_awaited(refused[1]):
            refused[1].set_exception(SourceUnavailableError("the camera was stopped"))


def _is_awaited(answer: "Future[bool]") -> bool:
    """Whether somebody still waits for an answer; from then on it can be given, as it can't be cancelled any more.

    Who waits may give up at any time, and an answer to them would be an `InvalidStateError`. Called once for each.
    """
    return answer.set_running_or_notify_cancel()
