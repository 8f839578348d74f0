"""The way of one frame through scheduler, inference, rules and recorder."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

import msgspec

from gateway.domain.camera import CameraState
from gateway.domain.clock import Clock
from gateway.domain.frame import Frame
from gateway.domain.retry import RetryBudget
from gateway.domain.violation import Violation
from gateway.errors import (
    InferenceError,
    InferenceRejectedError,
    InferenceTimeoutError,
    ModelContractError,
    RuntimeBusyError,
    RuntimeUnavailableError,
)
from gateway.metrics import Metrics
from gateway.pipeline.arrivals import Arrivals, Arrived, call_from_thread
from gateway.pipeline.clips import Clips
from gateway.pipeline.judge import Seen, Verdict
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.registry import RuntimeRegistry
from gateway.pipeline.running import RunningCamera
from gateway.scheduler import Dispatch, Drop, DropCause, Scheduler

_logger = logging.getLogger(__name__)

UNJUDGED = 24
"""Frames of one camera that may be without a verdict: one waits, one is on its way, the spool holds the others up.

Each holds its picture, and a disk that takes seconds for a commit would have them fill the memory.
"""

_CAUSES: dict[type[InferenceError], DropCause] = {
    InferenceTimeoutError: DropCause.TIMEOUT,
    RuntimeUnavailableError: DropCause.UNAVAILABLE,
    RuntimeBusyError: DropCause.UNAVAILABLE,
    InferenceRejectedError: DropCause.REJECTED,
    ModelContractError: DropCause.REJECTED,
}


class FrameLoop:
    """Sends the frames that the scheduler chooses, and has what comes back judged and recorded.

    Args:
        scheduler: Chooses.
        registry: Where runtimes are.
        recorder: Makes verdicts durable.
        cameras: The running cameras by id; shared with the pipeline that starts and stops them.
        metrics: What is counted.
        clock: Both times.
        spawn: Starts a task that the pipeline owns.
        on_recorded: Called when the spool has something new.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        registry: RuntimeRegistry,
        recorder: Recorder,
        cameras: dict[str, RunningCamera],
        metrics: Metrics,
        clock: Clock,
        spawn: Callable[[Coroutine[None, None, None], str], object],
        on_recorded: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._scheduler = scheduler
        self._registry = registry
        self._recorder = recorder
        self._cameras = cameras
        self._metrics = metrics
        self._clock = clock
        self._spawn = spawn
        self._on_recorded = on_recorded
        self._clips = Clips(recorder, clock, spawn, on_recorded)
        self._arrivals = Arrivals[RunningCamera](lambda: call_from_thread(loop, self.pump))
        self._retries = RetryBudget()
        self._wake: asyncio.TimerHandle | None = None

    def come(self, running: RunningCamera, frame: Frame) -> None:
        """A frame has passed its camera's gate; called in the camera's thread."""
        self._arrivals.put(running, frame, self._clock.monotonic())

    def pump(self) -> None:
        """Take every frame that has come, and send every one that may be sent now."""
        while True:
            self._take_arrivals()
            self._send()
            if not (self._scheduler.saturated and self._arrivals.look_by_itself()):
                break

    def _take_arrivals(self) -> None:
        for running, arrived in self._arrivals.take():
            if self._is_running(running):
                self._offer(running, arrived)
            else:
                _turn_away(running, arrived)

    def _offer(self, running: RunningCamera, arrived: Arrived) -> None:
        cause = self._refusal(running)
        running.pending += 1 + len(arrived.replaced)
        drops = [Drop(running.key, index, DropCause.REPLACED) for index in arrived.replaced]
        if cause:
            drops.append(Drop(running.key, arrived.frame.index, cause))
        else:
            drops += self._scheduler.offer(running.key, arrived.frame, arrived.at_s)
        self.settle_drops(drops)

    def _refusal(self, running: RunningCamera) -> DropCause | None:
        """Why no frame of a camera is taken now."""
        if self._recorder.fault or running.pending >= UNJUDGED:
            return DropCause.NOT_DURABLE
        return DropCause.NOT_OWNED if self._clock.monotonic() >= running.sure_until_s else None

    def _send(self) -> None:
        while True:
            dispatch, drops = self._scheduler.next(self._clock.monotonic())
            self.settle_drops(drops)
            if dispatch is None:
                break
            running = self._cameras[dispatch.key[0]]
            running.reader.frame_left()
            self._spawn(self._run(dispatch, running), "frame")
        self._wake_at(self._scheduler.wake_s)

    def stop(self) -> None:
        """Send nothing more."""
        self._wake_at(None)

    def left(self, running: RunningCamera) -> None:
        """A camera was stopped, and its reader has ended: frames without a verdict get none, and count as stopped.

        They are counted now, because what is known of the camera may be forgotten before the last of them comes back.
        """
        if (arrived := running.mailbox.take()) is not None:
            _turn_away(running, arrived)
        for _ in range(running.pending):
            self._metrics.frame_dropped(running.camera.id, DropCause.STOPPED.value)
            running.count_dropped(DropCause.STOPPED.value)
        running.pending, running.left = 0, True

    def settle_drops(self, drops: Sequence[Drop], detail: str = "") -> None:
        """Count frames that won't be inferred, by cause and frame number."""
        for drop in drops:
            running = self._cameras.get(drop.key[0])
            if running is not None:
                running.reader.frame_left()
            self._settle_drop(drop, running, detail)

    async def checkpoint(self, running: RunningCamera) -> None:
        """Make durable how far the rules of a camera have come, unless it has been stopped; count its blind time."""
        async with running.order:
            if self._is_running(running):
                running.look(self._scheduler.grant(running.key), self._clock.monotonic())
                await self.record(running, Verdict())

    async def record(self, running: RunningCamera, verdict: Verdict, seen: Seen | None = None) -> None:
        """Make a verdict durable together with the states of the camera's rules."""
        states = {(running.camera.id, rule_id): s for rule_id, s in running.judge.take_changed_states().items()}
        verdict = self._with_clips(running, verdict, seen)
        masks = running.camera.settings.masks
        for violation in await self._recorder.record(verdict, seen, states, masks, running.epoch):
            if seen is not None:
                self._clips.take(violation, lambda: running.camera.settings, running.ring, seen.frame.time_s)
            self._metrics.violation_created(violation.camera_id, violation.type)
            _log_created(violation, running.camera.settings.name)
        if verdict or (states and running.epoch):
            self._on_recorded()

    async def give_up_clips(self, violation_ids: Sequence[str]) -> None:
        """Put on record that the clips of these violations were lost."""
        await self._clips.give_up(violation_ids)

    def _with_clips(self, running: RunningCamera, verdict: Verdict, seen: Seen | None) -> Verdict:
        """Have new violations say what becomes of their clips."""
        if seen is None or not verdict.opened:
            return verdict
        clip = self._clips.expected(running.camera.settings, running.ring, seen.frame.time_s)
        return replace(verdict, opened=tuple(msgspec.structs.replace(v, clip=clip) for v in verdict.opened))

    def ended(self, running: RunningCamera) -> None:
        """A camera's stream is over: its open episodes end once its last frame has its verdict."""
        if running.state is CameraState.ENDED and running.pending == 0 and self._is_running(running):
            self._spawn(self._finish(running), "camera-ended")

    async def _run(self, dispatch: Dispatch, running: RunningCamera) -> None:
        self._retries.sent()
        seen = await self._infer(dispatch, running)
        if isinstance(seen, Dispatch):
            seen = await self._infer(seen, running, may_retry=False)
        if isinstance(seen, Seen) and self._is_running(running):
            await self._judge(running, seen, dispatch.offered_s)

    async def _infer(
        self, dispatch: Dispatch, running: RunningCamera, *, may_retry: bool = True
    ) -> Seen | Dispatch | None:
        """What was seen in a frame; None when it was dropped, another dispatch when it is to be sent once more."""
        camera_id, model = dispatch.key
        registered = self._registry.get(dispatch.runtime_id)
        self._metrics.frame_dispatched(camera_id, model)
        latency_s: float | None = None
        try:
            if registered is None:
                raise RuntimeUnavailableError(f"runtime {dispatch.runtime_id} is gone")
            timeout_s = max(0.001, dispatch.deadline_s - self._clock.monotonic())
            result = await registered.guarded.infer(model, dispatch.frame, timeout_s)
        except InferenceError as error:
            self._metrics.inference_failed(model, error)
            again = self._redirected(dispatch, error) if may_retry else None
            if again is not None:
                return again
            if not running.left:
                self._settle_drop(Drop(dispatch.key, dispatch.frame.index, _CAUSES[type(error)]), running, str(error))
            return None
        else:
            latency_s = result.latency_s
            self._metrics.inference_succeeded(model, latency_s)
            age_s = self._clock.monotonic() - dispatch.offered_s
            return Seen(dispatch.frame, result.detections, result.contract, result.runtime_id, age_s)
        finally:
            self._scheduler.complete(dispatch, latency_s)
            self.pump()

    def _redirected(self, dispatch: Dispatch, error: InferenceError) -> Dispatch | None:
        """Another way for a frame whose runtime went away. A late one has no time; a refused one is refused again."""
        if not isinstance(error, RuntimeUnavailableError) or not self._retries.allows:
            return None
        again = self._scheduler.redirect(dispatch, self._clock.monotonic())
        if again is not None:
            self._retries.spend()
            self._metrics.inference_retried(again.key[1])
        return again

    async def _judge(self, running: RunningCamera, seen: Seen, offered_s: float) -> None:
        async with running.order:
            if not self._is_running(running):  # it was stopped while this waited, and `left` counts the frame
                return
            try:
                if self._clock.monotonic() >= running.sure_until_s:  # and here, this process was
                    self._count_drop(running, seen.frame.index, DropCause.NOT_OWNED)
                    return
                grant = self._scheduler.grant(running.key)
                blind_s = running.count_inferred(seen.frame.time_s, grant, self._clock.monotonic())
                verdict = running.judge.judge(seen, blind_s, running.period_s(grant))
                if verdict:
                    await self.record(running, verdict, seen)
                self._metrics.frame_judged(self._clock.monotonic() - offered_s)
            finally:
                self._settle(running)

    def _count_drop(self, running: RunningCamera, frame_index: int, cause: DropCause) -> None:
        self._settle_drop(Drop(running.key, frame_index, cause), None, "")
        running.count_dropped(cause)

    def _settle_drop(self, drop: Drop, running: RunningCamera | None, detail: str) -> None:
        camera_id, cause = drop.key[0], drop.cause.value
        self._metrics.frame_dropped(camera_id, cause)
        extra = {"camera_id": camera_id, "frame_index": drop.frame_index, "cause": cause}
        _logger.debug("frame dropped", extra={**extra, "reason": detail} if detail else extra)
        if running is not None:
            running.count_dropped(cause)
            self._settle(running)

    def _is_running(self, running: RunningCamera) -> bool:
        """Whether this is still what runs under the camera's id: it may have been stopped and started anew."""
        return self._cameras.get(running.camera.id) is running

    def _settle(self, running: RunningCamera) -> None:
        running.pending -= 1
        self.ended(running)

    async def _finish(self, running: RunningCamera) -> None:
        async with running.order:
            if self._is_running(running):
                await self.record(running, running.judge.finish())

    def _wake_at(self, wake_s: float | None) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if wake_s is not None:
            delay_s = max(0.0, wake_s - self._clock.monotonic())
            self._wake = asyncio.get_running_loop().call_later(delay_s, self.pump)


def _turn_away(running: RunningCamera, arrived: Arrived) -> None:
    """Note frames of a camera that was stopped before they were looked at; `left` counts them, unless it is over."""
    if not running.left:
        running.pending += 1 + len(arrived.replaced)


def _log_created(violation: Violation, camera: str) -> None:
    _logger.info(
        "violation created",
        extra={
            "violation_id": violation.id,
            "camera_id": violation.camera_id,
            "camera": camera,
            "rule": violation.rule_name,
            "label": violation.label,
            "confidence": round(violation.score, 3),
            "evidence": violation.evidence.name or violation.evidence.missing_reason,
        },
    )
