"""Cameras' newest frames on their way from the cameras' threads to the event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from gateway.domain.frame import Frame


class Arrived(NamedTuple):
    """A frame that came, and the numbers of those whose place it took.

    Attributes:
        frame: The newest.
        at_s: When it came (monotonic seconds).
        replaced: Those that nobody took before it came.
    """

    frame: Frame
    at_s: float
    replaced: list[int]


class Mailbox:
    """Room for one frame: while the event loop is busy a newer frame takes the older one's place, and none pile up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: tuple[Frame, float] | None = None
        self._replaced: list[int] = []

    def put(self, frame: Frame, at_s: float) -> bool:
        """Leave a frame that came at `at_s`, in the camera's thread; whether none waited."""
        with self._lock:
            waiting, self._frame = self._frame, (frame, at_s)
            if waiting is not None:
                self._replaced.append(waiting[0].index)
            return waiting is None

    def take(self) -> Arrived | None:
        """Take the frame that waits."""
        with self._lock:
            if self._frame is None:
                return None
            (frame, at_s), self._frame = self._frame, None
            replaced, self._replaced = self._replaced, []
            return Arrived(frame, at_s, replaced)


def call_from_thread(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    """Call in the event loop from a camera's thread; a loop that has ended needs to know nothing more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)


class HasMailbox(Protocol):
    """A camera."""

    @property
    def mailbox(self) -> Mailbox:
        """Where its thread leaves frames."""
        ...


_Camera = TypeVar("_Camera", bound=HasMailbox)


class Arrivals(Generic[_Camera]):
    """Tells the event loop of frames, as seldom as it can.

    To wake the event loop costs about what it then does for a frame: its code and data have left the processor's caches
    meanwhile. So one call takes all that has come, and none is made while the loop is going to look by itself.

    Args:
        wake: Has the event loop take what has come; called in cameras' threads.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._cameras: deque[_Camera] = deque()
        self._expected = False

    def put(self, camera: _Camera, frame: Frame, at_s: float) -> None:
        """Leave a camera's frame that came at `at_s` (monotonic seconds); called in the camera's thread."""
        if camera.mailbox.put(frame, at_s):
            self._cameras.append(camera)
            if not self._expected:  # read after the camera is noted, and reset before those are taken: none is missed
                self._expected = True
                self._wake()

    def take(self) -> Iterator[tuple[_Camera, Arrived]]:
        """Take every frame that waits; the next one to come is told of again."""
        self._expected = False
        while self._cameras:
            camera = self._cameras.popleft()
            if (arrived := camera.mailbox.take()) is not None:
                yield camera, arrived

    def look_by_itself(self) -> bool:
        """The loop is going to `take` without being told; whether it has to at once, as something came meanwhile."""
        self._expected = True
        return bool(self._cameras)
