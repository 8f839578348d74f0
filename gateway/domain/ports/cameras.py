"""Where frames come from, and which are looked at."""

from collections.abc import Callable
from typing import Protocol

from gateway.domain.frame import Frame


class Gate(Protocol):
    """Decides which of a camera's frames are looked at."""

    @property
    def fps(self) -> float:
        """About how many frames a second of frame time are admitted."""
        ...

    def admit(self, time_s: float) -> bool:
        """Whether the frame of this frame time is looked at; asked once for each frame, in their order."""
        ...

    def wait_turn(self, stopped: Callable[[], bool]) -> bool:
        """Wait until a frame is wanted of a source that could give one at any time; False when stopped meanwhile."""
        ...


class Source(Protocol):
    """Where frames come from. Blocking; used from one thread, except `close`, which any thread may call."""

    def open(self, anchor_s: float) -> None:
        """Connect. `anchor_s` is the frame time that the first frame gets.

        Raises:
            SourceUnavailableError: It can't be opened now.
            SourceRefusedError: Somebody has to change something at the camera or in its settings.
            SourceFormatError: It is no picture stream.
        """
        ...

    def read(self, gate: Gate | None = None) -> Frame | None:
        """Wait for the next frame; None when the stream has ended or the source was closed.

        With a gate, for the next one that it admits. It is asked as early as frame time is known: what it doesn't
        admit need not be converted, and often not even decoded.

        Raises:
            SourceUnavailableError: The connection was lost.
            SourceStalledError: Nothing has come for too long.
            SourceRefusedError: Somebody has to change something at the camera or in its settings.
            SourceFormatError: What comes can't be decoded.
        """
        ...

    def close(self) -> None:
        """Let go of everything and wake a blocked `read`; may be called twice."""
        ...
