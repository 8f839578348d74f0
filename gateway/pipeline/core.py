"""The pipeline: starts and stops cameras and runtimes, and answers for them."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from gateway.domain.camera import Camera, CameraSettings, CameraState, CameraStatus
from gateway.domain.capability import AdaptationTable, Capability
from gateway.domain.clock import Clock
from gateway.domain.event import GrantChanged
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.ports import EvidenceStore, GrantListener, RuntimeDirectory, Source, Spool
from gateway.domain.rule import Rule
from gateway.domain.runtime import ModelStatus, RuntimeStatus, Transport
from gateway.domain.still import Still
from gateway.errors import ConflictError, InvalidInputError, SourceFormatError, SourceUnavailableError
from gateway.metrics import Metrics
from gateway.pipeline.direct import DirectCalls
from gateway.pipeline.frames import FrameLoop
from gateway.pipeline.granting import Granting
from gateway.pipeline.kept import KeptStates
from gateway.pipeline.lifecycle import CameraLifecycle
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.registry import RuntimeRegistry
from gateway.pipeline.roster import Roster
from gateway.pipeline.running import RunningCamera
from gateway.rules import TRACKS
from gateway.scheduler import Grant, Scheduler

PUSH_TIMEOUT_S = 5.0
UPKEEP_S = 0.5
CHECKPOINT_S = 1.0
CHECKPOINTS_AT_ONCE = 32
QUIESCE_S = 5.0


class Pipeline:
    """Runs cameras against runtimes. Implements `gateway.domain.ports.Control`; used from one event loop.

    Args:
        spool: Where verdicts become durable.
        evidence: Where pictures go.
        metrics: What is counted.
        clock: Both times.
        make_source: Makes the source of a camera URL.
        table: The adaptation table.
        heartbeat_interval_s: What runtimes are asked to keep to.
        local_host_id: See `gateway.inference.host`.
        directory: How replicas tell each other of runtimes.
        on_recorded: Called when the spool has something new.
        grants: Is told what cameras are granted.
        workers: Threads that scale frames to large canvases.
        direct_timeout_s: When a direct call is given up.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        evidence: EvidenceStore,
        metrics: Metrics,
        clock: Clock,
        make_source: Callable[[str], Source],
        table: AdaptationTable,
        heartbeat_interval_s: float,
        local_host_id: str,
        directory: RuntimeDirectory,
        on_recorded: Callable[[], None],
        grants: GrantListener,
        workers: int,
        direct_timeout_s: float,
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._clock = clock
        self._make_source = make_source
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="scale")
        self._registry = RuntimeRegistry(
            table=table,
            heartbeat_interval_s=heartbeat_interval_s,
            local_host_id=local_host_id,
            clock=clock,
            workers=self._workers,
            spawn=self._spawn,
            on_change=self._runtime_changed,
        )
        self._recorder = Recorder(spool, evidence)
        self._scheduler = Scheduler()
        self._roster = Roster(self._registry, directory, self._scheduler.load, clock)
        self._cameras: dict[str, RunningCamera] = {}
        self._frames = FrameLoop(
            scheduler=self._scheduler,
            registry=self._registry,
            recorder=self._recorder,
            cameras=self._cameras,
            metrics=metrics,
            clock=clock,
            spawn=self._spawn,
            on_recorded=on_recorded,
        )
        self._direct = DirectCalls(
            registry=self._registry,
            metrics=metrics,
            clock=clock,
            granted_fps=self._scheduler.granted_fps,
            timeout_s=direct_timeout_s,
        )
        self._granting = Granting(self._scheduler, self._cameras, self._frames, clock, self._granted)
        self._kept = KeptStates(spool, self._recorder, clock.utcnow, on_recorded)
        self._lifecycle = CameraLifecycle(
            cameras=self._cameras,
            scheduler=self._scheduler,
            frames=self._frames,
            granting=self._granting,
            kept=self._kept,
            make_source=make_source,
            clock=clock,
            on_granted=self._granted,
        )
        self._grants = grants
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._crash = ""

    async def run(self, started: asyncio.Event) -> None:
        """Run until `stop` is called; `started` is set once cameras and runtimes may come.

        Raises:
            ExceptionGroup: A stage crashed; `fault` says which from then on.
        """
        await self._kept.load()
        lost_clips = await self._spool.awaited_clips()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                upkeep = [
                    tasks.create_task(self._keep_up(), name="upkeep"),
                    tasks.create_task(self._checkpoint_rules(), name="checkpoint-rules"),
                    tasks.create_task(self._roster.run(), name="directory"),
                ]
                if lost_clips:
                    tasks.create_task(self._frames.give_up_clips(lost_clips), name="lost-clips")
                started.set()
                await self._stopping.wait()
                await self._quiesce(upkeep)
        except* Exception as group:
            self._crash = "; ".join(f"{type(e).__name__}: {e}" for e in group.exceptions)
            raise
        finally:
            await self._shut_down()

    def stop(self) -> None:
        """Take no more frames, give those on their way their verdict, then let `run` return."""
        self._stopping.set()

    # Runtimes and models

    def register(self, capability: Capability) -> None:
        """Take a runtime's declaration, its first or a heartbeat."""
        self._roster.register(capability)

    async def deregister(self, runtime_id: str) -> None:
        """Let go of a runtime, its frames on their way being answered first; `NotFoundError` if it isn't registered."""
        await self._roster.deregister(runtime_id)

    def drain_runtime(self, runtime_id: str) -> None:
        """Send a runtime no more frames until it is undrained; `NotFoundError` if it isn't registered."""
        self._roster.drain(runtime_id, draining=True)

    def undrain_runtime(self, runtime_id: str) -> None:
        """Let a drained runtime have frames again; `NotFoundError` if it isn't registered."""
        self._roster.drain(runtime_id, draining=False)

    def runtimes(self) -> Sequence[RuntimeStatus]:
        """Every registered runtime."""
        return self._roster.statuses()

    def models(self) -> Sequence[ModelStatus]:
        """Every model that a registered runtime has."""
        return self._registry.models()

    async def load_model(self, name: str) -> None:
        """Load a model on every runtime that has it; `NotFoundError`, `InferenceError`."""
        await asyncio.gather(*(connection.load(name) for connection in self._registry.having(name)))

    async def unload_model(self, name: str) -> None:
        """Unload a model everywhere; `NotFoundError`, `InferenceError`."""
        await asyncio.gather(*(connection.unload(name) for connection in self._registry.having(name)))

    async def infer(self, model: str, frame: Frame) -> InferenceResult:
        """Have a model look at one picture, beside the cameras' frames; `NotFoundError`, `InferenceError`."""
        return await self._direct.infer(model, frame)

    # Cameras

    def check_camera(self, settings: CameraSettings) -> None:
        """Refuse settings that no source can be made of: `InvalidInputError`."""
        self._make_source(settings.url).close()

    async def apply_camera(self, camera: Camera, rules: Sequence[Rule]) -> None:
        """Start a camera, or bring a running one in line with changed settings and rules."""
        running = self._cameras.get(camera.id)
        if running is not None and _goes_on(running, camera):
            await self._lifecycle.change(running, camera, rules)
        else:
            if running is not None:
                running.mask(camera.settings.masks)
                await self._stop(running)
            await self._kept.end(camera.id, _go_on(camera, rules))
            if camera.settings.enabled:
                self._lifecycle.start(camera, rules)
        self._granting.settle_soon()

    async def remove_camera(self, camera_id: str) -> None:
        """Stop a camera and end its open episodes."""
        await self._stop_if_running(camera_id)
        await self._kept.end(camera_id)
        await self.forget_camera(camera_id)

    async def push(self, camera_id: str, still: Still) -> bool:
        """Hand a picture to a `push:` camera; see `Control.push`."""
        running = self._cameras.get(camera_id)
        if running is None:
            raise ConflictError("the camera isn't running: it is disabled, or there is none of this id")
        try:
            return await asyncio.wait_for(asyncio.wrap_future(running.reader.push(still)), PUSH_TIMEOUT_S)
        except TimeoutError as error:
            raise SourceUnavailableError(f"the camera took no picture for {PUSH_TIMEOUT_S:g} s") from error
        except SourceFormatError as error:
            raise InvalidInputError(str(error)) from error

    def camera_status(self, camera_id: str) -> CameraStatus:
        """How a camera is doing; a camera that isn't running is `disabled`."""
        running = self._cameras.get(camera_id)
        if running is None:
            return CameraStatus(state=CameraState.DISABLED)
        key = running.key
        return running.status(self._scheduler.grant(key), self._scheduler.queue_depth(key), self._clock.monotonic())

    def fault(self) -> str:
        """Why the pipeline can't take frames; empty while it can."""
        if self._crash:
            return f"a stage crashed: {self._crash}"
        return self._recorder.fault if self._tasks is not None else "the pipeline isn't running"

    # Which cameras are this replica's

    def camera_epochs(self) -> Mapping[str, int]:
        """Under which epoch this replica has or had each camera that it keeps anything of."""
        return self._kept.epochs

    async def adopt_camera(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """A camera that isn't running is this replica's; see `Spool.adopt`."""
        await self._kept.adopt(camera_id, epoch, states)

    def keep_camera(self, camera_id: str, until_s: float) -> None:
        """No other replica can have a camera before then (monotonic); its frames aren't looked at afterwards."""
        if running := self._cameras.get(camera_id):
            running.sure_until_s = until_s

    async def hand_over_camera(self, camera_id: str) -> None:
        """Stop a camera for another replica to go on with it, and keep how far its rules have come."""
        await self._stop_if_running(camera_id)
        await self._kept.keep(camera_id)

    async def lose_camera(self, camera_id: str) -> None:
        """Another replica has a camera: stop it. What it had open is cut off here."""
        await self._stop_if_running(camera_id)
        await self._kept.end(camera_id, cut_off=True)
        await self.forget_camera(camera_id)

    async def forget_camera(self, camera_id: str) -> None:
        """Keep nothing of a camera that isn't running."""
        await self._kept.forget(camera_id)
        self._metrics.forget_camera(camera_id)
        self._grants.forget(camera_id)
        self._granting.settle_soon()

    async def _stop_if_running(self, camera_id: str) -> None:
        if running := self._cameras.get(camera_id):
            await self._stop(running)

    async def _stop(self, running: RunningCamera) -> None:
        await self._lifecycle.stop(running)
        self._frames.left(running)

    def _runtime_changed(self, runtime_id: str) -> None:
        registered = self._registry.get(runtime_id)
        if registered is None:
            self._scheduler.remove_runtime(runtime_id)
        else:
            self._scheduler.set_runtime(
                runtime_id,
                registered.limits,
                registered.guarded.models,
                ready=registered.ready,
                local=registered.connection.transport is Transport.SYSTEM_SHARED_MEMORY,
                measured_fps={name: each.fps for name, each in registered.capability.measured.items() if each.fps > 0},
            )
        self._granting.settle_soon()

    def _granted(self, running: RunningCamera, grant: Grant) -> None:
        camera_id, model = running.key
        self._grants.changed(
            GrantChanged(
                camera_id=camera_id,
                model=model,
                wanted_fps=grant.wanted_fps,
                granted_fps=grant.granted_fps,
                runtime_id=grant.runtime_id,
                reason=f"the camera is {running.state}" if running.over else grant.reason,
            )
        )

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_S)
            self._roster.expire()
            self._granting.settle()

    async def _checkpoint_rules(self) -> None:
        """Keep open and candidate episodes' progress: a restart goes on with them instead of beginning new ones."""
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            cameras = list(self._cameras.values())
            for first in range(0, len(cameras), CHECKPOINTS_AT_ONCE):  # together they share one commit
                several = cameras[first : first + CHECKPOINTS_AT_ONCE]
                await asyncio.gather(*(self._frames.checkpoint(running) for running in several))

    def _spawn(self, work: Coroutine[None, None, None], name: str) -> "asyncio.Task[None]":
        assert self._tasks is not None
        # A context of its own: what a request starts outlives it, and mustn't log under the request's trace.
        return self._tasks.create_task(work, name=name, context=contextvars.Context())

    async def _quiesce(self, upkeep: Sequence["asyncio.Task[None]"]) -> None:
        await self._lifecycle.stop_readers()
        deadline_s = self._clock.monotonic() + QUIESCE_S
        # A stop is rare: polling beats an event that every frame would have to keep.
        while any(r.pending for r in self._cameras.values()) and self._clock.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self._frames.stop()
        self._granting.stop()
        for task in (*upkeep, *(task for registered in self._registry for task in registered.tasks)):
            task.cancel()

    async def _shut_down(self) -> None:
        self._frames.stop()
        await self._lifecycle.stop_readers()
        states = {
            (running.camera.id, rule_id): state
            for running in self._cameras.values()
            for rule_id, state in running.judge.take_changed_states().items()
        }
        if states and not self._recorder.fault:
            await self._spool.commit((), states)
        self._tasks = None
        self._workers.shutdown(wait=True)


def _go_on(camera: Camera, rules: Sequence[Rule]) -> set[str]:
    """Of which states a camera begins to run again; what a rule or a camera that is switched off had open, is over."""
    return {TRACKS, *(rule.id for rule in rules if rule.settings.enabled)} if camera.settings.enabled else set()


def _goes_on(running: RunningCamera, camera: Camera) -> bool:
    """Whether a camera can go on reading under new settings; one that has come to its end begins again when edited."""
    old, new = running.camera.settings, camera.settings
    edited = camera.updated_at != running.camera.updated_at
    return (old.url, old.model, old.enabled) == (new.url, new.model, new.enabled) and not (running.over and edited)
