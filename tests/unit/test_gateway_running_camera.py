"""What is kept of a running camera, and how its frames are settled, whatever becomes of them."""

import asyncio
import datetime as dt
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from gateway.domain.camera import Camera, CameraSettings, CameraState
from gateway.domain.capability import RuntimeLimits
from gateway.domain.clip import EncodedPacket, StreamFormat
from gateway.domain.clock import SystemClock
from gateway.domain.definitions import Day, Dwell, RuleDefinition, Schedule, ZonePresence
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import ViolationClosed, ViolationOpened
from gateway.errors import (
    InferenceError,
    InferenceRejectedError,
    InferenceTimeoutError,
    RuntimeUnavailableError,
)
from gateway.metrics import Metrics
from gateway.pipeline.frames import UNJUDGED, FrameLoop
from gateway.pipeline.granting import Granting
from gateway.pipeline.judge import Judge
from gateway.pipeline.lifecycle import CameraLifecycle
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.running import RATE_WINDOW_S, RunningCamera
from gateway.scheduler import DropCause, Grant, Scheduler
from tests.support.pictures import CONTRACT, a_frame, people
from tests.support.records import MemoryEvidence, MemorySpool

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
START_S = NOON.timestamp()


READER = SimpleNamespace(frame_left=lambda: None, grant=lambda *_: None)


def a_camera(definition: RuleDefinition | None = None) -> RunningCamera:
    settings = CameraSettings(name="yard", url="demo:", model="people", fps=10)
    camera = Camera(id="yard", settings=settings, created_at=NOON, updated_at=NOON)
    rule_settings = RuleSettings(name="nobody", definition=definition or ZonePresence())
    rule = Rule(id="rule-1", camera_id="yard", revision=1, settings=rule_settings)
    judge = Judge([rule], {}, lambda: "019c0000-0000-7000-8000-000000000001", lambda: NOON)
    return RunningCamera(camera, judge, lambda _: READER)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize(("definition", "kept_s"), [(ZonePresence(), 30), (Dwell(min_duration_s=60), 85)])
def test_its_stream_is_kept_for_as_long_as_its_rules_wait(definition: RuleDefinition, kept_s: float):
    ring = a_camera(definition).ring
    for second in range(200):
        ring.put(StreamFormat("mjpeg", (64, 48)), EncodedPacket(b"x", second, second, is_key=True))
    assert ring.size_bytes == kept_s + 1


def test_the_rate_achieved_is_that_of_the_last_seconds():
    running = a_camera()
    for k in range(100):
        running.count_inferred(START_S + k / 10, Grant(10, 10), k / 10)
    status = running.status(Grant(10, 10), 0, 9.9)
    assert status.achieved_fps == pytest.approx(10, abs=0.3)
    assert status.frames_inferred == 100
    assert status.last_frame_at == NOON + dt.timedelta(seconds=9.9)
    assert running.status(Grant(10, 10), 0, 10 + RATE_WINDOW_S).achieved_fps == 0


def test_frames_of_a_camera_that_was_granted_few_are_due_as_seldom():
    running = a_camera()
    assert running.period_s(Grant(10, 0.25)) == 4
    assert running.period_s(Grant(10, 0)) == 0.1, "refused ones are due as wanted"


def test_it_is_blind_while_frames_are_due_and_none_is_judged_and_says_why():
    running = a_camera()
    running.state = CameraState.LIVE
    running.count_inferred(START_S, Grant(10, 10), 0.0)
    assert running.status(Grant(10, 10), 0, 1.0).blind_seconds == {}
    assert running.status(Grant(10, 10), 0, 2.1).blind_seconds == {"no_frames": 2.0}
    running.count_dropped("timeout")
    assert running.status(Grant(10, 10), 0, 3.1).blind_seconds == {"no_frames": 2.0, "timeout": 1.0}
    running.state = CameraState.RETRYING
    assert running.count_inferred(START_S + 4.1, Grant(10, 10), 4.1) == pytest.approx(4.0)
    assert running.count_inferred(START_S + 4.2, Grant(10, 10), 4.2) == 0
    running.count_dropped("unavailable")
    running.state = CameraState.RETRYING
    running.look(Grant(10, 10), 14.2)
    assert running.blindness.seconds["retrying"] == pytest.approx(1.0 + 9.9), (
        "the camera is away: no frame can be dropped"
    )
    assert "unavailable" not in running.blindness.seconds
    running.state = CameraState.ENDED
    assert sum(running.status(Grant(10, 10), 0, 60.0).blind_seconds.values()) == pytest.approx(13.9)


def test_a_rule_is_blind_only_while_it_is_to_judge():
    afternoon = Schedule(days=tuple(Day), start="13:00", end="14:00", time_zone="UTC")
    for schedule, blind in [(None, {"rule-1": {"no_frames": 2.0}}), (afternoon, {})]:
        running = a_camera(ZonePresence(schedule=schedule))
        running.state = CameraState.LIVE
        running.count_inferred(START_S, Grant(10, 10), 0.0)
        status = running.status(Grant(10, 10), 0, 2.1)
        assert (status.blind_seconds, status.rules_blind_seconds) == ({"no_frames": 2.0}, blind)


def test_the_reason_of_its_source_comes_before_that_of_its_grant():
    running = a_camera()
    assert running.status(Grant(10, 5, "shared"), 0, 0.0).reason == "shared"
    running.reason = "no route"
    status = running.status(Grant(10, 5, "shared"), 0, 0.0)
    assert (status.reason, status.wanted_fps, status.granted_fps) == ("no route", 10, 5)
    assert status.last_frame_at is None


class HeldRuntime:
    """A runtime whose answers a test gives."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[Frame, asyncio.Future[InferenceResult]]] = asyncio.Queue()

    async def infer(self, model: str, frame: Frame, timeout_s: float) -> InferenceResult:
        answer: asyncio.Future[InferenceResult] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait((frame, answer))
        return await answer


def somebody() -> InferenceResult:
    return InferenceResult(people((10, 10, 30, 40)), CONTRACT, "triton", 0.01)


@dataclass
class Loop:
    """A frame loop over a held runtime, a real scheduler, judge and recorder, and a spool in memory."""

    tasks: asyncio.TaskGroup
    runtime: HeldRuntime = field(default_factory=HeldRuntime)
    cameras: dict[str, RunningCamera] = field(default_factory=dict)
    scheduler: Scheduler = field(default_factory=Scheduler)
    spool: MemorySpool = field(default_factory=lambda: MemorySpool([]))
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        limits = RuntimeLimits(max_fps=1000, max_camera_fps=1000, batch_size=1, timeout_s=60)
        self.scheduler.set_runtime("triton", limits, {"people"}, ready=True)
        registered = SimpleNamespace(guarded=self.runtime)
        self.limits = limits
        self.frames = FrameLoop(
            scheduler=self.scheduler,
            registry=SimpleNamespace(get=lambda _: registered),  # type: ignore[arg-type]
            recorder=Recorder(self.spool, MemoryEvidence([])),
            cameras=self.cameras,
            metrics=self.metrics,
            clock=SystemClock(),
            spawn=lambda work, name: self.tasks.create_task(work, name=name) and None,
            on_recorded=lambda: None,
        )

    def start(self) -> RunningCamera:
        running = self.cameras["yard"] = a_camera()
        self.scheduler.subscribe(running.key, 10)
        return running

    def stop(self, running: RunningCamera) -> None:
        self.frames.settle_drops(self.scheduler.unsubscribe(running.key))
        self.cameras.pop("yard")

    def counted(self, cause: str) -> float | None:
        labels = {"camera_id": "yard", "reason": cause}
        return self.metrics.registry.get_sample_value("ruth_ai_frames_dropped_total", labels)

    def offer(self, running: RunningCamera, index: int) -> None:
        self.frames.come(running, a_frame(index, START_S + index / 10))
        self.frames.pump()


async def test_frames_end_as_inferred_or_dropped_by_cause_and_none_stays_pending():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        for index in range(4):
            loop.offer(running, index)
        first, answer = await loop.runtime.asked.get()
        assert (first.index, running.pending) == (0, 2)
        answer.set_result(somebody())
        last, answer = await loop.runtime.asked.get()
        answer.set_exception(RuntimeUnavailableError("gone"))
    assert last.index == 3
    assert running.pending == 0
    assert running.inferred == 1
    assert running.dropped == {"replaced": 2, "unavailable": 1}


async def test_a_clip_that_ended_is_finished_after_its_last_frame_has_its_verdict():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        for index in (0, 10, 20):
            loop.offer(running, index)
            if index == 20:
                running.state = CameraState.ENDED
                loop.frames.ended(running)
            (await loop.runtime.asked.get())[1].set_result(somebody())
            await asyncio.sleep(0)
    assert [type(record) for record in loop.spool.records] == [ViolationOpened, ViolationClosed]
    assert loop.spool.records[1].ended_at == NOON + dt.timedelta(seconds=2)


async def test_a_frame_of_a_camera_that_was_started_anew_counts_for_neither():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        before = loop.start()
        loop.offer(before, 0)
        _, failing = await loop.runtime.asked.get()
        loop.stop(before)
        after = loop.start()
        loop.offer(after, 0)
        _, answer = await loop.runtime.asked.get()
        failing.set_exception(RuntimeUnavailableError("gone"))
        answer.set_result(somebody())
    assert after.pending == 0
    assert after.dropped == {}
    assert after.inferred == 1


async def test_frames_of_a_camera_that_is_stopped_count_as_stopped_wherever_they_are():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        loop.offer(running, 0)
        _, answer = await loop.runtime.asked.get()
        loop.offer(running, 1)  # waits in the slot
        for index in (2, 3):  # in the mailbox, the second in the first one's place
            loop.frames.come(running, a_frame(index, START_S))
        loop.stop(running)
        loop.frames.pump()
        loop.frames.come(running, a_frame(4, START_S))  # before the reader has ended
        loop.frames.left(running)
        answer.set_result(somebody())
    assert running.dropped == {"stopped": 5}
    assert (loop.counted("stopped"), running.inferred, running.pending) == (5, 0, 0)


async def test_a_frame_whose_camera_is_stopped_while_it_waits_for_its_verdict_counts_as_stopped():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        async with running.order:
            loop.offer(running, 0)
            (await loop.runtime.asked.get())[1].set_result(somebody())
            for _ in range(5):
                await asyncio.sleep(0)
            loop.stop(running)
        loop.frames.left(running)
    assert (running.inferred, running.dropped, running.pending) == (0, {"stopped": 1}, 0)


@pytest.mark.parametrize(
    "answer", [somebody(), InferenceTimeoutError("late")], ids=["it is answered", "it isn't answered in time"]
)
async def test_a_frame_that_comes_back_after_its_camera_was_removed_brings_no_counter_back(
    answer: InferenceResult | InferenceError,
):
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        loop.offer(running, 0)
        _, asked = await loop.runtime.asked.get()
        loop.stop(running)
        loop.frames.left(running)
        loop.metrics.forget_camera("yard")
        if isinstance(answer, InferenceResult):
            asked.set_result(answer)
        else:
            asked.set_exception(answer)
        loop.frames.come(running, a_frame(1, START_S))  # by a reader that didn't hear in time
    assert all(loop.counted(cause) is None for cause in DropCause)
    assert running.dropped == {"stopped": 1}


async def test_the_last_frame_of_a_clip_keeps_its_place_though_nobody_has_looked_at_it_when_the_clip_ends():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        granting = Granting(loop.scheduler, loop.cameras, loop.frames, SystemClock(), lambda *_: None)
        lifecycle = CameraLifecycle(
            cameras=loop.cameras,
            scheduler=loop.scheduler,
            frames=loop.frames,
            granting=granting,
            kept=None,  # type: ignore[arg-type]
            make_source=None,  # type: ignore[arg-type]
            clock=SystemClock(),
            on_granted=lambda *_: None,
        )
        running = loop.start()
        loop.offer(running, 0)
        first = (await loop.runtime.asked.get())[1]
        loop.frames.come(running, a_frame(1, START_S + 1))
        lifecycle._camera_state(running, CameraState.ENDED, "")
        first.set_result(somebody())
        last, answer = await loop.runtime.asked.get()
        answer.set_result(somebody())
        granting.stop()
    assert (last.index, running.inferred, running.dropped) == (1, 2, {})


async def test_a_spool_that_is_not_durable_stops_frames_and_counts_them():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        loop.frames._recorder.fault = "the disk is full"
        loop.offer(running, 0)
    assert running.dropped == {"not_durable": 1}
    assert running.pending == 0


async def test_a_spool_that_is_slow_holds_up_few_frames_of_a_camera_and_the_others_are_counted():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        running = loop.start()
        async with running.order:  # as a checkpoint holds it while the spool commits
            for index in range(UNJUDGED):
                loop.offer(running, index)
                (await loop.runtime.asked.get())[1].set_result(somebody())
            for index in range(UNJUDGED, 30):
                loop.offer(running, index)
            assert running.pending == UNJUDGED
            assert running.dropped == {"not_durable": 30 - UNJUDGED}
        while running.pending:  # noqa: ASYNC110 - verdicts, one after the other
            await asyncio.sleep(0)
        loop.offer(running, 30)
        (await loop.runtime.asked.get())[1].set_result(somebody())
    assert (running.inferred, running.pending) == (UNJUDGED + 1, 0)


async def test_a_frame_whose_runtime_went_away_is_sent_once_more_to_another():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        loop.scheduler.set_runtime("other", loop.limits, {"people"}, ready=True)
        running = loop.start()
        for index in range(2):
            loop.offer(running, index)
            first, lost = await loop.runtime.asked.get()
            lost.set_exception(RuntimeUnavailableError("gone"))
            again, answer = await loop.runtime.asked.get()
            assert again is first
            if index == 0:
                answer.set_result(somebody())
            else:
                answer.set_exception(RuntimeUnavailableError("gone, too"))
            await asyncio.sleep(0.01)
    assert (running.inferred, running.dropped, running.pending) == (1, {"unavailable": 1}, 0)


@pytest.mark.parametrize(
    "error", [InferenceTimeoutError("late"), InferenceRejectedError("no")], ids=["late", "refused"]
)
async def test_a_frame_that_was_late_or_refused_is_not_sent_again(error: InferenceError):
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        loop.scheduler.set_runtime("other", loop.limits, {"people"}, ready=True)
        running = loop.start()
        loop.offer(running, 0)
        (await loop.runtime.asked.get())[1].set_exception(error)
    assert sum(running.dropped.values()) == 1


async def test_retries_end_when_everything_fails():
    async with asyncio.TaskGroup() as tasks:
        loop = Loop(tasks)
        loop.scheduler.set_runtime("other", loop.limits, {"people"}, ready=True)
        running, asked = loop.start(), 0
        for index in range(100):
            loop.offer(running, index)
            while running.pending:
                (await loop.runtime.asked.get())[1].set_exception(RuntimeUnavailableError("gone"))
                asked += 1
                await asyncio.sleep(0.001)
    assert running.dropped == {"unavailable": 100}
    assert 110 <= asked <= 121, "ten to begin with, and one for each ten"
