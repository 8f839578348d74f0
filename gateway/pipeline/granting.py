"""What the scheduler grants, brought to the cameras' gates."""

import asyncio
from collections.abc import Callable, Mapping

from gateway.domain.clock import Clock
from gateway.pipeline.frames import FrameLoop
from gateway.pipeline.running import RunningCamera
from gateway.scheduler import Grant, Scheduler

SETTLE_S = 0.05
"""Changes that come closer together than this are settled together."""


class Granting:
    """Has the scheduler settle changes, soon after they come, and sets each camera's gate to its grant.

    Args:
        scheduler: Grants.
        cameras: The running cameras by id.
        frames: Counts frames that no runtime takes any more, and sends those that can go now.
        clock: For intervals.
        on_grant: Called for each camera that gets something else, or gets it elsewhere, or for another reason.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        cameras: Mapping[str, RunningCamera],
        frames: FrameLoop,
        clock: Clock,
        on_grant: Callable[[RunningCamera, Grant], None],
    ) -> None:
        self._scheduler = scheduler
        self._cameras = cameras
        self._frames = frames
        self._clock = clock
        self._on_grant = on_grant
        self._settled_s = -SETTLE_S
        self._soon: asyncio.TimerHandle | None = None

    def settle_soon(self) -> None:
        """Settle now, or together with what else changes within `SETTLE_S` of the last time."""
        wait_s = self._settled_s + SETTLE_S - self._clock.monotonic()
        if wait_s <= 0:
            self.settle()
        elif self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(wait_s, self.settle)

    def settle(self) -> None:
        """Settle now. Frames that no runtime serves are still due at the rate wanted, and count as dropped."""
        self.stop()
        self._settled_s = self._clock.monotonic()
        settlement = self._scheduler.settle(self._settled_s)
        for (camera_id, _), grant in settlement.granted:
            running = self._cameras.get(camera_id)
            if running is not None:
                running.reader.grant(grant.wanted_fps, grant.granted_fps or grant.wanted_fps)
                self._on_grant(running, grant)
        self._frames.settle_drops(settlement.drops)
        self._frames.pump()

    def stop(self) -> None:
        """Settle nothing by itself any more."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
