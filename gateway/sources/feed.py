"""A thread that waits for a camera's network or device, so that whoever reads the camera never waits in vain."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.domain.clock import Clock
from gateway.errors import SourceStalledError, SourceUnavailableError
from gateway.sources.throttle import Throttle

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MAX_PER_S = 240


class Connection(Protocol[T_co]):
    """An open connection to a camera. Used from one thread, except `interrupt`."""

    def items(self) -> Iterator[tuple[T_co, int]]:
        """What comes and its size in bytes, until the camera ends it; raises `SourceError`."""
        ...

    def interrupt(self) -> None:
        """End a wait in `items`, where that is possible; from any thread."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a camera is waited for, in seconds.

    Attributes:
        open_s: Until it is connected.
        stall_s: Until the next thing comes.
    """

    open_s: float = 10.0
    stall_s: float = 5.0


class Feed(Generic[T]):
    """Connects and receives in a daemon thread of its own.

    Looking up a name or opening a device can block beyond anybody's control. Here only this thread blocks: `close`
    returns at once, and the thread ends when its call comes back, as every connection has time-outs.

    What waits is bounded. When it is full, all of it is dropped, so that a slow consumer goes on with what is newest. A
    camera that sends more than `MAX_PER_S` is read no faster.

    Args:
        name: Of the thread.
        clock: For the throttle.
        capacity: How many items may wait.
        capacity_bytes: How much may wait.
    """

    def __init__(self, name: str, clock: Clock, capacity: int, capacity_bytes: int) -> None:
        self._name = name
        self._clock = clock
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._connection: Connection[T] | None = None
        self._waiting: deque[tuple[T, int]] = deque()
        self._waiting_bytes = 0
        self._lost = False
        self._ended = False
        self._error: BaseException | None = None

    def connect(self, make: Callable[[], Connection[T]], open_s: float) -> None:
        """Connect, and begin to receive; returns when connected, or closed.

        Raises:
            SourceError: As `make` raises it, or because it took longer than `open_s`.
        """
        threading.Thread(target=self._run, args=(make,), name=self._name, daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: self._connection or self._ended or self._closed.is_set(), open_s)
            if self._connection is not None or self._closed.is_set():
                return  # what went wrong since, `take` tells after what came before it
            if self._error is not None:
                raise self._error
            raise SourceUnavailableError(f"no answer within {open_s:g} s")

    def take(self, stall_s: float) -> tuple[T | None, bool]:
        """Wait for the next item; None when the feed was closed or the camera has ended it.

        Returns:
            The item, and whether others were dropped before it.

        Raises:
            SourceStalledError: None came for `stall_s` seconds.
            SourceError: As the connection raises it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting or self._ended or self._closed.is_set(), stall_s):
                raise SourceStalledError(f"nothing has come for {stall_s:g} s")
            if self._closed.is_set():
                return None, False
            if not self._waiting:
                if self._error is not None:
                    raise self._error
                return None, False
            item, size = self._waiting.popleft()
            self._waiting_bytes -= size
            lost, self._lost = self._lost, False
            return item, lost

    def close(self) -> None:
        """Wake whoever waits, and have the thread end; may be called twice."""
        self._closed.set()
        with self._changed:
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            connection.interrupt()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def _run(self, make: Callable[[], Connection[T]]) -> None:
        try:
            connection = make()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that reads, whatever it is
            self._end(error)
            return
        try:
            with self._changed:
                self._connection = connection
                self._changed.notify_all()
            self._receive(connection)
        except BaseException as error:  # noqa: BLE001 - as above
            self._end(error)
        else:
            self._end(None)
        finally:
            connection.close()

    def _receive(self, connection: Connection[T]) -> None:
        throttle = Throttle(MAX_PER_S, MAX_PER_S)
        for item, size in connection.items():
            if self._closed.is_set():
                return
            self._put(item, size)
            if (delay_s := throttle.take(self._clock.monotonic())) and self._closed.wait(delay_s):
                return

    def _put(self, item: T, size: int) -> None:
        with self._changed:
            if len(self._waiting) >= self._capacity or self._waiting_bytes + size > self._capacity_bytes:
                self._waiting.clear()
                self._waiting_bytes, self._lost = 0, True
            self._waiting.append((item, size))
            self._waiting_bytes += size
            self._changed.notify_all()

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()
