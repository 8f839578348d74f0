"""A recorded clip through Triton and the rules: every gated frame, in order, nothing dropped, the same each time."""

import asyncio
import datetime as dt
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from msgspec.structs import replace

from gateway.domain.clock import Clock
from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.inference import DetectedObject, describe
from gateway.domain.ports import Source
from gateway.domain.rule import RuleSettings, check_labels
from gateway.inference import Link, TritonRuntime
from gateway.pipeline.outcome import OutcomeDiff, ReplayedViolation
from gateway.rules import Closed, Happened, Opened, Panel, Updated, check_ground
from gateway.sampling import FpsGate

FRAME_TIMEOUT_S = 60.0


class ReplayedFrame(msgspec.Struct, frozen=True):
    """What was seen in one frame; `pts_s` counts from the clip's first frame, in seconds."""

    frame: int
    pts_s: float
    objects: tuple[DetectedObject, ...]


class ReplayReport(msgspec.Struct, kw_only=True):
    """All that a replay found; `diff` where it was compared with violations on record.

    `clip_started_at` is when the clip's first frame was taken; while nobody knows, `schedules_ignored` has the names
    of the rules that were taken to hold all the time for it.
    """

    clip_started_at: dt.datetime | msgspec.UnsetType = msgspec.UNSET
    schedules_ignored: list[str] | msgspec.UnsetType = msgspec.UNSET
    frames_decoded: int = 0
    frames_inferred: int = 0
    detections: list[ReplayedFrame] = []
    violations: list[ReplayedViolation] = []
    diff: OutcomeDiff | msgspec.UnsetType = msgspec.UNSET

    @property
    def clip_s(self) -> float:
        """Seconds from the clip's first frame to the last that was looked at."""
        return self.detections[-1].pts_s if self.detections else 0.0


async def replay(
    source: Source,
    rules: Sequence[RuleSettings],
    model: str,
    grpc_url: str,
    fps: float | None,
    clock: Clock,
    clip_started_at: dt.datetime | None = None,
) -> ReplayReport:
    """Run a clip from its beginning to its end.

    One frame is on its way at a time: a batch of several would make a score depend, in its last digits, on its company.

    Args:
        source: The clip, giving frames as fast as it can.
        rules: What to judge by.
        model: Triton's name of the model.
        grpc_url: `host:port` of Triton.
        fps: Frames per second to look at; None for every frame.
        clock: For latencies.
        clip_started_at: When the clip's first frame was taken, for the rules' schedules; None where nobody knows: then
            every rule holds all the time.

    Raises:
        SourceError: The clip can't be read.
        InvalidInputError: A rule counts a label that the model doesn't have, or its ground plane is none.
        RuntimeUnavailableError: Triton can't be reached.
        InferenceError: The model isn't loaded, or a frame failed.
    """
    for rule in rules:
        check_ground(rule)
    with ThreadPoolExecutor(2, thread_name_prefix="replay") as workers:
        runtime = TritonRuntime(
            grpc_url,
            Link(grpc_url, None),
            shared_memory_reason="",
            slots=2,
            clock=clock,
            workers=workers,
            on_change=lambda: None,
        )
        try:
            await asyncio.to_thread(source.open, 0.0)
            await runtime.connect()
            for rule in rules:
                check_labels(rule, runtime.contract(model).labels)
            gate = None if fps is None else FpsGate(fps)
            return await _run(source, rules, model, runtime, gate, clip_started_at)
        finally:
            await runtime.close()
            source.close()


async def _run(
    source: Source,
    rules: Sequence[RuleSettings],
    model: str,
    runtime: TritonRuntime,
    gate: FpsGate | None,
    clip_started_at: dt.datetime | None,
) -> ReplayReport:
    outcome = Outcome(rules, clip_started_at, 0.0 if gate is None else 1 / gate.fps)
    report = ReplayReport(
        clip_started_at=clip_started_at or msgspec.UNSET, schedules_ignored=outcome.schedules_ignored or msgspec.UNSET
    )
    upcoming = asyncio.create_task(asyncio.to_thread(source.read))
    while (frame := await upcoming) is not None:
        upcoming = asyncio.create_task(asyncio.to_thread(source.read))
        report.frames_decoded += 1
        if gate is not None and not gate.admit(frame.time_s):
            continue
        result = await runtime.infer(model, frame, FRAME_TIMEOUT_S)
        report.frames_inferred += 1
        report.detections.append(ReplayedFrame(frame.index, round(frame.pts_s, 3), describe(result.detections)))
        outcome.observe(frame, result.detections)
    report.violations = outcome.finish()
    return report


class Outcome:
    """What the rules made of a clip so far.

    Args:
        rules: What to judge by.
        clip_started_at: When the clip's first frame was taken; None takes every rule to hold all the time.
        period_s: Seconds between two frames to look at; 0 for every frame.

    Attributes:
        schedules_ignored: Names of the rules that have a schedule which nobody could keep.
    """

    def __init__(
        self, rules: Sequence[RuleSettings], clip_started_at: dt.datetime | None = None, period_s: float = 0.0
    ) -> None:
        self._period_s = period_s
        numbers = itertools.count(1)
        self._rules = {str(i): rule for i, rule in enumerate(rules)}
        definitions = {rule_id: rule.definition for rule_id, rule in self._rules.items()}
        self.schedules_ignored: list[str] = []
        if clip_started_at is None:
            self.schedules_ignored += [rule.name for rule in rules if rule.definition.schedule is not None]
            definitions = {id_: replace(definition, schedule=None) for id_, definition in definitions.items()}
        self._origin_s = 0.0 if clip_started_at is None else clip_started_at.timestamp()
        self._panel = Panel(definitions, {}, lambda: str(next(numbers)))
        self._violations: dict[str, ReplayedViolation] = {}

    def observe(self, frame: Frame, detections: Detections) -> None:
        """Take one frame into account."""
        time_s = self._origin_s + frame.time_s
        happened = self._panel.judge(time_s, frame.resolution_wh, detections, frame.luma, period_s=self._period_s)
        self._take(happened, frame.time_s)

    def finish(self) -> list[ReplayedViolation]:
        """The clip is over: all violations, in order of time."""
        self._take(self._panel.finish(), 0.0)
        return sorted(self._violations.values(), key=lambda v: (v.started_at_s, v.rule, v.track_id or 0))

    def _take(self, happened: Sequence[Happened], time_s: float) -> None:
        for each in happened:
            match each.transition:
                case Opened() as opened:
                    self._violations[opened.violation_id] = self._begun(self._rules[each.rule_id], opened, time_s)
                case Closed() as closed:
                    self._end(self._violations[closed.violation_id], closed)
                case Updated():
                    pass  # its end tells the best of it

    def _begun(self, rule: RuleSettings, opened: Opened, time_s: float) -> ReplayedViolation:
        started_at_s = round(opened.started_s - self._origin_s, 3)
        return ReplayedViolation(
            type=rule.definition.type,
            rule=rule.name,
            started_at_s=started_at_s,
            ended_at_s=started_at_s,
            label=opened.hit.label,
            score=round(opened.hit.score, 4),
            track_id=opened.hit.track_id,
            opened_at_s=round(time_s, 3),
        )

    def _end(self, violation: ReplayedViolation, closed: Closed) -> None:
        violation.ended_at_s = round(closed.ended_s - self._origin_s, 3)
        violation.label = closed.best.label
        violation.score = round(closed.best.score, 4)
