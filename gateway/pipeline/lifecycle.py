"""Starts, changes and stops the cameras that run."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence

import uuid_utils

from gateway.allocator import give_back
from gateway.domain.camera import Camera, CameraState
from gateway.domain.clock import Clock
from gateway.domain.ports import Source
from gateway.domain.rule import Rule
from gateway.pipeline.arrivals import call_from_thread
from gateway.pipeline.clips import ring_seconds
from gateway.pipeline.frames import FrameLoop
from gateway.pipeline.granting import Granting
from gateway.pipeline.judge import Judge
from gateway.pipeline.kept import KeptStates
from gateway.pipeline.running import RunningCamera
from gateway.scheduler import Grant, Scheduler
from gateway.sources import CameraReader
from gateway.sources.packets import PacketSource
from gateway.sources.reader import Listener
from gateway.sources.turnstile import TurnGate, Turnstile

_logger = logging.getLogger(__name__)

_TROUBLE = frozenset({CameraState.STALLED, CameraState.RETRYING, CameraState.REFUSED})
DECODED_AHEAD = max(2, os.cpu_count() or 1)
STOP_S = 5.0
"""Longer than anything takes but a disk that hangs."""


class CameraLifecycle:
    """A camera from its start to its stop: its reader, its share of the runtimes, the states of its rules.

    Args:
        cameras: Those that run, by id; kept here.
        scheduler: Grants them their rates.
        frames: Takes their frames.
        granting: Is asked to share out anew.
        kept: Where rules go on from.
        make_source: Makes the source of a camera URL.
        clock: Both times.
        on_granted: Is told what a camera has now.
    """

    def __init__(
        self,
        *,
        cameras: dict[str, RunningCamera],
        scheduler: Scheduler,
        frames: FrameLoop,
        granting: Granting,
        kept: KeptStates,
        make_source: Callable[[str], Source],
        clock: Clock,
        on_granted: Callable[[RunningCamera, Grant], None],
    ) -> None:
        self._cameras = cameras
        self._scheduler = scheduler
        self._frames = frames
        self._granting = granting
        self._kept = kept
        self._make_source = make_source
        self._clock = clock
        self._on_granted = on_granted
        self._turnstile = Turnstile(DECODED_AHEAD)

    def start(self, camera: Camera, rules: Sequence[Rule]) -> None:
        """Begin to read a camera that isn't running."""
        judge = Judge(rules, self._kept.of(camera.id), lambda: str(uuid_utils.uuid7()), self._clock.utcnow)
        running = RunningCamera(camera, judge, self._reader, epoch=self._kept.epoch(camera.id))
        self._cameras[camera.id] = running
        self._subscribe(running)
        running.reader.start()

    async def change(self, running: RunningCamera, camera: Camera, rules: Sequence[Rule]) -> None:
        """Bring a running camera in line with changed settings and rules, while it goes on reading."""
        running.camera = camera
        running.ring.keep(ring_seconds(camera.settings, rules))
        self._subscribe(running)
        await self._replace_rules(running, rules)

    async def stop(self, running: RunningCamera) -> None:
        """Stop reading; the states of the camera's rules are kept, so that it can go on."""
        self._frames.settle_drops(self._scheduler.unsubscribe(running.key))
        self._on_granted(running, Grant(0.0, 0.0, "the camera was stopped"))
        self._cameras.pop(running.camera.id, None)
        running.reader.stop()
        await _end_of(running, STOP_S)
        async with running.order:
            states = running.judge.states()
        running.ring.clear()  # megabytes, which mustn't wait for the garbage collector
        self._kept.put(running.camera.id, states)
        await asyncio.to_thread(give_back)

    async def stop_readers(self) -> None:
        """Stop reading every camera; each stays as it is otherwise."""
        stopped = list(self._cameras.values())  # a call that came in before may still add or remove one
        for running in stopped:
            running.reader.stop()
        deadline_s = self._clock.monotonic() + STOP_S
        for running in stopped:
            await _end_of(running, max(0.0, deadline_s - self._clock.monotonic()))

    def _subscribe(self, running: RunningCamera) -> None:
        """Ask for the camera's rate; once it is over, its share is for those that have frames."""
        settings = running.camera.settings
        self._scheduler.subscribe(running.key, 0.0 if running.over else settings.fps, settings.priority)

    def _reader(self, running: RunningCamera) -> CameraReader:
        settings, loop = running.camera.settings, asyncio.get_running_loop()

        listener = Listener(
            frame=lambda frame: self._frames.come(running, frame),
            state=lambda state, reason: call_from_thread(loop, self._camera_state, running, state, reason),
            crash=lambda error: _log_crash(running, error),
        )

        def open_source() -> Source:
            source = self._make_source(settings.url)
            if isinstance(source, PacketSource):
                source.keep_packets(running.ring)
            return source

        gate = TurnGate(settings.fps, self._turnstile)
        return CameraReader(running.camera.id, open_source, gate, listener, self._clock)

    async def _replace_rules(self, running: RunningCamera, rules: Sequence[Rule]) -> None:
        gone = _judged_by(running.judge.rules) - _judged_by(rules)
        async with running.order:
            await self._frames.record(running, running.judge.replace_rules(rules))
        for rule_id in gone:
            await self._kept.forget_rule(running.camera.id, rule_id)

    def _camera_state(self, running: RunningCamera, state: CameraState, reason: str) -> None:
        running.state, running.reason = state, reason
        level = logging.WARNING if state in _TROUBLE else logging.INFO
        extra = {"camera_id": running.camera.id, "camera": running.camera.settings.name}
        _logger.log(level, "camera %s", state.value, extra={**extra, "reason": reason} if reason else extra)
        if running.over:
            running.ring.settle()
            self._frames.pump()  # its last frame may not have been looked at yet, and needs its place
        if self._cameras.get(running.camera.id) is running and (running.over or state is CameraState.LIVE):
            self._subscribe(running)  # one that was refused may come back
            self._granting.settle_soon()
        self._frames.ended(running)


def _judged_by(rules: Sequence[Rule]) -> set[str]:
    return {rule.id for rule in rules if rule.settings.enabled}


async def _end_of(running: RunningCamera, seconds: float) -> None:
    """Wait until a camera's thread has ended, or is left behind as its disk hangs: what it still gives nobody takes."""
    if not await asyncio.to_thread(running.reader.join, seconds):
        extra = {"camera_id": running.camera.id, "camera": running.camera.settings.name}
        _logger.warning("what reads a camera hangs and is left behind", extra=extra)
    running.ring.settle()


def _log_crash(running: RunningCamera, error: Exception) -> None:
    """A bug in what reads a camera refuses that camera, and ends nothing else; called in the camera's thread."""
    extra = {"camera_id": running.camera.id, "camera": running.camera.settings.name}
    _logger.error("a bug in what reads a camera", exc_info=error, extra=extra)
