"""The thread that reads one camera."""

import math
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from gateway.domain.camera import CameraState
from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.ports import Source
from gateway.domain.still import Still
from gateway.errors import (
    ConflictError,
    InvalidInputError,
    SourceError,
    SourceFormatError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnavailableError,
)
from gateway.sources.push import PushSource
from gateway.sources.turnstile import TurnGate

RETRY_FIRST_S = 0.5
RETRY_LAST_S = 30.0
REFUSED_S = 300.0
"""Cameras lock users out after a few wrong passwords."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what a camera does; called in the camera's thread.

    Attributes:
        frame: A frame came.
        state: What the camera does now, and why.
        crash: A bug in what reads it has shown itself; what becomes of the camera then is told as its state.
    """

    frame: Callable[[Frame], None]
    state: Callable[[CameraState, str], None]
    crash: Callable[[Exception], None]


class CameraReader:
    """Opens a source, reads it through the FPS gate, and opens it again with full-jitter back-off when it is lost.

    Args:
        name: Of the thread.
        make_source: Makes a fresh source for each attempt.
        gate: Which frames are looked at, and when one is wanted.
        listener: Who is told.
        clock: Anchors frame time when a source opens.
    """

    def __init__(
        self, name: str, make_source: Callable[[], Source], gate: TurnGate, listener: Listener, clock: Clock
    ) -> None:
        self._make_source = make_source
        self._listener = listener
        self._clock = clock
        self._gate = gate
        self._stop = threading.Event()
        self._source: Source | None = None
        self._gave_frames = False
        self._last_time_s = -math.inf
        self._thread = threading.Thread(target=self._run, name=f"camera-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def grant(self, wanted_fps: float, granted_fps: float) -> None:
        """Change the rate from the next frame on; see `TurnGate.grant`."""
        self._gate.grant(wanted_fps, granted_fps)

    def push(self, still: Still) -> "Future[bool]":
        """Hand a picture to a `push:` camera; see `PushSource.offer`.

        Raises:
            ConflictError: The camera takes its pictures from its URL.
            SourceUnavailableError: The camera isn't open.
        """
        match self._source:
            case PushSource() as source:
                return source.offer(still)
            case None:
                raise SourceUnavailableError("the camera isn't open yet")
            case _:
                raise ConflictError("only push: cameras take pictures; this one gets them from its URL")

    def frame_left(self) -> None:
        """A frame that was given has been sent, or dropped: another one may be decoded for it."""
        self._gate.frame_left()

    def stop(self) -> None:
        """Tell the thread to end, and wake it; returns at once."""
        self._stop.set()
        source = self._source
        if source is not None:
            source.close()

    def join(self, seconds: float | None = None) -> bool:
        """Wait until the thread has ended, for so many seconds at most; whether it has."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        finally:
            self._gate.close()
            if self._stop.is_set():
                self._source = None  # its decoder's memory is native: it mustn't wait for the garbage collector

    def _read_until_stopped(self) -> None:
        retry_s = 0.0
        while not self._stop.is_set():
            self._listener.state(CameraState.CONNECTING, "")
            try:
                self._read_one_connection()
            except (SourceFormatError, InvalidInputError) as error:
                self._listener.state(CameraState.REFUSED, str(error))
                return
            except SourceError as error:
                if self._stop.is_set():
                    return
                retry_s = RETRY_FIRST_S if self._gave_frames else min(RETRY_LAST_S, max(RETRY_FIRST_S, retry_s * 2))
                self._wait_and_say(error, retry_s)
            except Exception as error:  # noqa: BLE001 - a bug costs the camera in which it shows, and no other
                self._listener.crash(error)
                if self._stop.is_set():
                    return
                # Without the error's text, which may hold the camera's password.
                self._wait_and_say(
                    SourceRefusedError(f"internal error: {type(error).__name__}, see the gateway's log"), retry_s
                )
            else:
                if not self._stop.is_set():
                    self._listener.state(CameraState.ENDED, "the source has no more frames")
                return

    def _wait_and_say(self, error: SourceError, retry_s: float) -> None:
        """Say why, and wait before the next attempt: with full jitter, and long where the camera refuses us."""
        match error:
            case SourceRefusedError():
                state, delay_s = CameraState.REFUSED, random.uniform(0.8, 1) * REFUSED_S  # noqa: S311 - jitter
            case SourceStalledError():
                state, delay_s = CameraState.STALLED, random.uniform(0, retry_s)  # noqa: S311 - jitter
            case _:
                state, delay_s = CameraState.RETRYING, random.uniform(0, retry_s)  # noqa: S311 - jitter
        self._listener.state(state, f"{error}; trying again in {delay_s:.1f} s")
        self._stop.wait(delay_s)

    def _read_one_connection(self) -> None:
        """Open a fresh source and read it to its end; it and its turn are let go of before anything is waited for."""
        self._gave_frames = False
        source = self._source = self._make_source()
        try:
            # A camera's clock may run fast, and ours may be set back: frame time goes on from where it was.
            source.open(max(self._clock.utcnow().timestamp(), self._last_time_s))
            while not self._stop.is_set() and self._hand_on(source):
                pass
        finally:
            self._gate.pause()
            source.close()

    def _hand_on(self, source: Source) -> bool:
        """Hand on the next frame; false when there is none. It is let go of before the next one needs its memory."""
        frame = source.read(self._gate)
        if frame is None:
            return False
        if not self._gave_frames:
            self._gave_frames = True
            self._listener.state(CameraState.LIVE, "")
        self._last_time_s = frame.time_s
        self._gate.frame_comes()
        self._listener.frame(frame)
        return True
