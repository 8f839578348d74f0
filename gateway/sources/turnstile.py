"""How many pictures are decoded ahead by sources that could give one at any time."""

import threading
from collections import deque
from collections.abc import Callable

from gateway.sampling import FpsGate

LOOK_S = 0.1


class Turn:
    """A turn that somebody waits for."""

    def __init__(self) -> None:
        self._comes = threading.Lock()  # half the cost of an Event, which makes such a lock for each wait
        self._comes.acquire()

    def give(self) -> None:
        """Let it come; once, from any thread."""
        self._comes.release()

    def wait(self, seconds: float) -> bool:
        """Whether it has come, after so many seconds at most."""
        return self._comes.acquire(timeout=seconds)


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
        self._waiting: deque[Turn] = deque()

    def ask(self, turn: Turn) -> None:
        """Give a turn, now or when those that were asked for before have been given."""
        with self._lock:
            if self._free == 0:
                self._waiting.append(turn)
                return
            self._free -= 1
        turn.give()

    def give_back(self) -> None:
        """Pass a turn on to who waits longest."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            turn = self._waiting.popleft()
        turn.give()

    def withdraw(self, turn: Turn) -> bool:
        """Ask no more for a turn; false where it has been given."""
        with self._lock:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
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
        self._next: Turn | None = None

    def grant(self, wanted_fps: float, granted_fps: float) -> None:
        """Set the rate from the next frame on; may be called from any thread."""
        self._wanted_fps = wanted_fps
        self.fps = wanted_fps if self._takes_turns else granted_fps

    def wait_turn(self, stopped: Callable[[], bool]) -> bool:
        """Wait until the camera's last frame has left and it is this camera's turn; at once if its turn is unused."""
        if not self._takes_turns:
            self._takes_turns, self.fps = True, self._wanted_fps
        if not self._turn_unused:
            self._turn_unused = self._wait(self._ask(), stopped)
        return self._turn_unused

    def _ask(self) -> Turn:
        """Ask for a turn, or leave that to who takes the last frame, so that the camera's thread is woken once."""
        turn = Turn()
        with self._lock:
            if self._waiting_turns > 0:
                self._next = turn
                return turn
        self._turnstile.ask(turn)
        return turn

    def _wait(self, turn: Turn, stopped: Callable[[], bool]) -> bool:
        while not turn.wait(LOOK_S):
            if stopped() and self._withdraw(turn):
                return False
        return True

    def _withdraw(self, turn: Turn) -> bool:
        with self._lock:
            if self._next is turn:
                self._next = None
                return True
        return self._turnstile.withdraw(turn)

    def frame_comes(self) -> None:
        """A frame is about to be given; called in the camera's thread."""
        if self._turn_unused:
            self._turn_unused = False
            with self._lock:
                self._waiting_turns += 1

    def frame_left(self) -> None:
        """A frame that was given waits no longer, whatever became of it; called from any thread."""
        with self._lock:
            if self._waiting_turns == 0:
                return
            self._waiting_turns -= 1
            asked = None
            if self._waiting_turns == 0:
                asked, self._next = self._next, None
        if asked is not None:
            self._turnstile.ask(asked)
        self._turnstile.give_back()

    def pause(self) -> None:
        """No frame may come for a while: an unused turn is for others; called in the camera's thread."""
        if self._turn_unused:
            self._turn_unused = False
            self._turnstile.give_back()

    def close(self) -> None:
        """No frame comes any more; called in the camera's thread."""
        self.frame_comes()
        self.frame_left()
