"""A camera's newest frame on its way from the camera's thread to the event loop."""

import threading

from gateway.domain.frame import Frame


class Mailbox:
    """Room for one frame: while the event loop is busy a newer frame takes the older one's place, and none pile up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._replaced: list[int] = []

    def put(self, frame: Frame) -> bool:
        """Leave a frame, in the camera's thread; whether the event loop has to be told, as none waited."""
        with self._lock:
            waiting, self._frame = self._frame, frame
            if waiting is not None:
                self._replaced.append(waiting.index)
            return waiting is None

    def take(self) -> tuple[Frame | None, list[int]]:
        """Take the frame that waits, and the numbers of those whose place it took."""
        with self._lock:
            frame, self._frame = self._frame, None
            replaced, self._replaced = self._replaced, []
            return frame, replaced
