"""A camera that is running: its reader, its rules, and how it is doing."""

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

import msgspec

from gateway.domain.camera import Camera, CameraState, CameraStatus
from gateway.domain.clock import from_unix
from gateway.domain.definitions import Polygon
from gateway.pipeline.arrivals import Mailbox
from gateway.pipeline.blindness import Blindness
from gateway.pipeline.clips import ring_for
from gateway.pipeline.judge import Judge
from gateway.scheduler import Grant, SubscriptionKey
from gateway.sources import CameraReader
from gateway.sources.packets import PacketRing

RATE_WINDOW_S = 5.0
UNSURE = "the database can't be asked whether the camera is still with this replica; its frames aren't looked at"
NO_FRAMES = "no_frames"
"""Why a camera is blind that is live and gives none."""


@dataclass(slots=True, eq=False)
class RunningCamera:
    """What the pipeline keeps of one camera while it runs.

    Attributes:
        camera: Its settings.
        judge: Its rules and how far each has come.
        ring: What its stream brought last.
        reader: The thread that reads it.
        state: What its source is doing.
        reason: Why, in words for a person.
        mailbox: Its newest frame on its way from the reader's thread.
        pending: Frames offered to the scheduler whose fate isn't known yet.
        inferred: Frames inferred since it was started.
        dropped: Frames dropped since then, by cause.
        blindness: How long nobody looked at it, and why.
        epoch: Under which this replica has it; 0 where there is one gateway alone.
        sure_until_s: Until then (monotonic) no other replica can have it; its frames count for nothing afterwards.
        left: Whether it was stopped, and each of its frames counted.
        order: Held while a frame's verdict is made durable, so that verdicts keep the frames' order.
    """

    camera: Camera
    judge: Judge
    make_reader: InitVar[Callable[["RunningCamera"], CameraReader]]
    ring: PacketRing = field(init=False)
    reader: CameraReader = field(init=False)
    state: CameraState = CameraState.CONNECTING
    reason: str = ""
    mailbox: Mailbox = field(default_factory=Mailbox)
    pending: int = 0
    inferred: int = 0
    last_time_s: float | None = None
    dropped: Counter[str] = field(default_factory=Counter[str])
    blindness: Blindness = field(init=False)
    epoch: int = 0
    sure_until_s: float = math.inf
    left: bool = False
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    _inferred_at_s: deque[float] = field(default_factory=deque[float])
    _last_drop: str = ""

    def __post_init__(self, make_reader: Callable[["RunningCamera"], CameraReader]) -> None:
        """Make the reader, which tells this camera what it does."""
        self.blindness = Blindness(self.judge.watching)
        self.ring = ring_for(self.camera.settings, self.judge.rules)
        self.reader = make_reader(self)

    @property
    def key(self) -> SubscriptionKey:
        """Its subscription with the scheduler."""
        return self.camera.id, self.camera.settings.model

    @property
    def over(self) -> bool:
        """Whether no frame will come any more."""
        return self.state in (CameraState.ENDED, CameraState.REFUSED)

    def mask(self, masks: Sequence[Polygon]) -> None:
        """Have what is still to be stored of a camera that is about to stop hide these parts of the picture."""
        settings = msgspec.structs.replace(self.camera.settings, masks=tuple(masks))
        self.camera = msgspec.structs.replace(self.camera, settings=settings)

    def count_inferred(self, time_s: float, grant: Grant, now_s: float) -> float:
        """A frame of frame time `time_s` came back at `now_s` (monotonic).

        Returns:
            Seconds since the frame before in which nobody looked.
        """
        self.inferred += 1
        self.last_time_s = time_s
        self._inferred_at_s.append(now_s)
        self._forget_old(now_s)
        blind_s = self.blindness.see(now_s, self.period_s(grant), self._why_blind())
        self._last_drop = ""
        return blind_s

    def count_dropped(self, cause: str) -> None:
        """A frame won't be inferred."""
        self.dropped[cause] += 1
        self._last_drop = cause

    def look(self, grant: Grant, now_s: float) -> None:
        """Count the time since the last frame as blind, where one has been due for too long."""
        if not self.over or self.state is CameraState.REFUSED:
            self.blindness.wait(now_s, self.period_s(grant), self._why_blind())

    def status(self, grant: Grant, frames_waiting: int, now_s: float) -> CameraStatus:
        """How it is doing at `now_s` (monotonic)."""
        self._forget_old(now_s)
        self.look(grant, now_s)
        return CameraStatus(
            state=self.state,
            reason=UNSURE if now_s >= self.sure_until_s else self.reason or grant.reason,
            wanted_fps=self.camera.settings.fps,
            granted_fps=round(grant.granted_fps, 3),
            runtime_id=grant.runtime_id,
            achieved_fps=round(len(self._inferred_at_s) / RATE_WINDOW_S, 2),
            frames_waiting=frames_waiting,
            frames_inferred=self.inferred,
            frames_dropped=dict(self.dropped),
            blind_seconds=_rounded(self.blindness.seconds),
            rules_blind_seconds={
                rule.id: _rounded(self.blindness.rules[rule.id])
                for rule in self.judge.rules
                if rule.id in self.blindness.rules
            },
            last_frame_at=None if self.last_time_s is None else from_unix(self.last_time_s),
        )

    def period_s(self, grant: Grant) -> float:
        """Seconds between frames that are due: also those of a refused camera, which asks the scheduler for none."""
        return 1 / (grant.granted_fps or self.camera.settings.fps)

    def _forget_old(self, now_s: float) -> None:
        while self._inferred_at_s and self._inferred_at_s[0] < now_s - RATE_WINDOW_S:
            self._inferred_at_s.popleft()

    def _why_blind(self) -> str:
        """One of a fixed set: the state of a source that isn't live, else the cause of the last frame's drop."""
        return self._last_drop or NO_FRAMES if self.state is CameraState.LIVE else self.state


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {reason: round(each, 3) for reason, each in seconds.items()}
