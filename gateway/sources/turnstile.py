"""How many pictures are decoded ahead by sources that could give one at any time."""

import threading
from collections import deque
from collections.abc import Callable

from gateway.sampling import FpsGate

LOOK_S = 0.1


class Turnstile:
    """Turns for whoever waits longest; used from many threads.

    A recorded clip read as fast as it goes would decode pictures that nobody has time for, and the more such cameras
    there are, the older what is waiting would grow. So each takes a turn before it decodes, and gives it back when its
    frame no longer waits.

    Args:
        turns: How many are given out at once.
    """

    def __init__(self, turns: int) -> None:
        self._free = turns
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def take(self, stopped: Callable[[], bool]) -> bool:
        """Wait for a turn; False when stopped meanwhile (noticed within `LOOK_S`)."""
        mine = threading.Event()
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return True
            self._waiting.append(mine)
        while not mine.wait(LOOK_S):
            if stopped() and self._withdraw(mine):
                return False
        return True

    def give_back(self) -> None:
        """Pass a turn on to who waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def _withdraw(self, waiting: threading.Event) -> bool:
        with self._lock:
            if waiting.is_set():
                return False
            self._waiting.remove(waiting)
            return True


class TurnGate(FpsGate):
    """A camera's FPS gate that also keeps its turn: from before a picture is decoded until its frame waits no longer.

    A source that waits for its turn is held by that alone. Its frame time runs as fast as frames are taken: a rate that
    is granted on the clock would have it decode pictures in vain, and would have a clip's results depend on the load.

    Args:
        fps: Frames per second let through.
        turnstile: Where turns are taken.
    """

    def __init__(self, fps: float, turnstile: Turnstile) -> None:
        super().__init__(fps)
        self._turnstile = turnstile
        self._lock = threading.Lock()
        self._wanted_fps = fps
        self._takes_turns = False
        self._turn_unused = False
        self._waiting_turns = 0
        self._none_waits = threading.Event()
        self._none_waits.set()

    def grant(self, wanted_fps: float, granted_fps: float) -> None:
        """Set the rate from the next frame on; may be called from any thread."""
        self._wanted_fps = wanted_fps
        self.fps = wanted_fps if self._takes_turns else granted_fps

    def wait_turn(self, stopped: Callable[[], bool]) -> bool:
        """Wait until the camera's last frame has left and it is this camera's turn; at once if its turn is unused."""
        if not self._takes_turns:
            self._takes_turns, self.fps = True, self._wanted_fps
        if self._turn_unused:
            return True
        while not self._none_waits.wait(LOOK_S):
            if stopped():
                return False
        self._turn_unused = self._turnstile.take(stopped)
        return self._turn_unused

    def frame_comes(self) -> None:
        """A frame is about to be given; called in the camera's thread."""
        if self._turn_unused:
            self._turn_unused = False
            with self._lock:
                self._waiting_turns += 1
                self._none_waits.clear()

    def frame_left(self) -> None:
        """A frame that was given waits no longer, whatever became of it; called from any thread."""
        with self._lock:
            had_turn = self._waiting_turns > 0
            self._waiting_turns -= int(had_turn)
            if self._waiting_turns == 0:
                self._none_waits.set()
        if had_turn:
            self._turnstile.give_back()

    def close(self) -> None:
        """No frame comes any more; called in the camera's thread."""
        self.frame_comes()
        self.frame_left()
