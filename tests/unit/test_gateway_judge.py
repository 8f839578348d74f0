"""From detections to durable records."""

import datetime as dt
import hashlib
from itertools import count

import cv2
import msgspec
import numpy as np
import pytest

from gateway.domain.definitions import ZoneIntrusion, ZonePresence
from gateway.domain.detections import Detections
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import (
    Evidence,
    Sighting,
    ViolationClosed,
    ViolationOpened,
    ViolationUpdated,
    evidence_folder,
)
from gateway.errors import InferenceError
from gateway.pipeline import frames, recorder
from gateway.pipeline.judge import Judge, Seen, Verdict, end_episodes
from gateway.pipeline.recorder import Recorder
from gateway.pipeline.replay import Outcome
from gateway.rules import TRACKS
from tests.support.pictures import CONTRACT, a_frame, people
from tests.support.records import MemoryEvidence, MemorySpool

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
START_S = NOON.timestamp()
SOMEBODY = people((10, 10, 30, 40))
NOBODY = Detections.empty(("person", "car"))


def a_rule(rule_id: str = "rule-1", revision: int = 1, enabled: bool = True, min_duration_s: float = 1.0) -> Rule:
    definition = ZonePresence(min_duration_s=min_duration_s, max_gap_s=2.0)
    settings = RuleSettings(name="nobody here", definition=definition, enabled=enabled)
    return Rule(id=rule_id, camera_id="yard", revision=revision, settings=settings)


def violation_id(number: int) -> str:
    return f"019c0000-0000-7000-8000-{number:012}"


def a_judge(*rules: Rule, states: dict[str, bytes] | None = None) -> Judge:
    numbers = count(1)
    return Judge(rules or (a_rule(),), states or {}, lambda: violation_id(next(numbers)), lambda: NOON)


def seen(after_s: float, detections: Detections = SOMEBODY) -> Seen:
    frame = a_frame(index=int(after_s * 10), time_s=START_S + after_s)
    return Seen(frame, detections, CONTRACT, "triton-1", 0.0125)


def at(after_s: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=after_s)


def test_a_violation_says_where_when_what_and_by_whom_it_was_seen():
    judge = a_judge()
    assert not judge.judge(seen(0))
    (violation,) = judge.judge(seen(1.0)).opened
    assert violation.id == violation_id(1)
    assert (violation.camera_id, violation.rule_id, violation.rule_revision) == ("yard", "rule-1", 1)
    assert (violation.started_at, violation.ended_at) == (NOON, None)
    assert (violation.label, violation.score, violation.box) == ("person", pytest.approx(0.9), (10, 10, 30, 40))
    assert (violation.frame_index, violation.resolution_wh) == (10, (64, 48))
    assert (violation.frame_at, violation.pts_s) == (at(1.0), START_S + 1.0)
    assert (violation.model, violation.model_version, violation.model_sha256) == ("people", "2", "ab" * 32)
    assert (violation.runtime_id, violation.latency_ms) == ("triton-1", 12.5)


def test_a_frame_that_shows_it_better_replaces_label_box_and_picture():
    judge = a_judge()
    judge.judge(seen(0, people((10, 10, 30, 40), score=0.5)))
    judge.judge(seen(1, people((10, 10, 30, 40), score=0.5)), blind_s=0.25)
    assert not judge.judge(seen(2, people((10, 10, 30, 40), score=0.52)))
    (better,) = judge.judge(seen(3, people((12, 10, 30, 40), score=0.75)), blind_s=0.5).updated
    assert better.rule == a_rule()
    record = better.record
    assert (record.id, record.score, record.box) == (violation_id(1), 0.75, (12, 10, 30, 40))
    assert (record.frame_index, record.frame_at, record.blind_seconds) == (30, at(3), 0.75)


def test_a_better_frame_says_what_it_was_and_what_saw_it():
    judge = a_judge()
    judge.judge(seen(0, people((10, 10, 30, 40), score=0.5)))
    judge.judge(seen(1, people((10, 10, 30, 40), score=0.5)))
    contract = msgspec.structs.replace(CONTRACT, name="people-large", version="7", sha256="cd" * 32)
    frame = a_frame(index=30, time_s=START_S + 3, resolution_wh=(128, 96))
    (better,) = judge.judge(Seen(frame, people((12, 10, 30, 40), score=0.75), contract, "triton-2", 0.025)).updated
    assert better.record.sighting == Sighting(
        resolution_wh=(128, 96),
        track_id=None,
        model="people-large",
        model_version="7",
        model_sha256="cd" * 32,
        runtime_id="triton-2",
        latency_ms=25.0,
    )


def test_its_end_names_it_and_the_last_hit():
    judge = a_judge()
    for after_s in (0, 1, 2, 3):
        judge.judge(seen(after_s))
    assert not judge.judge(seen(5.0, NOBODY))
    (closed,) = judge.judge(seen(5.1, NOBODY)).closed
    assert (closed.id, closed.ended_at, closed.at) == (violation_id(1), at(3), NOON)


def test_the_end_of_the_stream_ends_what_is_open():
    judge = a_judge()
    judge.judge(seen(0))
    judge.judge(seen(1))
    assert [closed.id for closed in judge.finish().closed] == [violation_id(1)]
    assert not judge.finish()


def test_a_restart_goes_on_with_the_violation_it_had_open():
    judge = a_judge()
    judge.judge(seen(0))
    judge.judge(seen(1))
    again = a_judge(states=judge.take_changed_states())
    assert not again.judge(seen(2))
    (closed,) = again.judge(seen(60, NOBODY)).closed
    assert (closed.id, closed.ended_at) == (violation_id(1), at(2))


def test_a_clip_replayed_at_the_rate_of_a_camera_has_the_cameras_outcome():
    frames_s = [k * 2.5 for k in range(20)]
    judge, replayed = a_judge(), Outcome([a_rule().settings], period_s=2.5)
    opened = [v for t in frames_s for v in judge.judge(seen(t), period_s=2.5).opened]
    for t in frames_s:
        replayed.observe(seen(t).frame, SOMEBODY)
    (violation,) = replayed.finish()
    (closed,) = judge.finish().closed
    assert [each.started_at for each in opened] == [dt.datetime.fromtimestamp(violation.started_at_s, dt.UTC)]
    assert closed.ended_at == dt.datetime.fromtimestamp(violation.ended_at_s, dt.UTC)


def test_states_are_given_once_and_only_when_they_changed():
    judge = a_judge()
    judge.judge(seen(0, NOBODY))
    assert judge.take_changed_states() == {}
    judge.judge(seen(0))
    assert list(judge.take_changed_states()) == ["rule-1"]
    assert judge.take_changed_states() == {}


def test_what_a_box_without_numbers_left_behind_ends_as_it_would_have():
    judge = a_judge(a_rule(), a_rule("rule-2"))
    nowhere = people((float("nan"), 10, 30, 40))
    judge.judge(seen(0, nowhere))
    judge.judge(seen(1, nowhere))
    again = a_judge(a_rule(), states=judge.states())
    assert [closed.id for closed in again.finish().closed] == [violation_id(1)]
    assert [closed.id for closed in end_episodes(judge.states(), NOON).closed] == [violation_id(1), violation_id(2)]


def test_tracks_that_are_no_numbers_stop_no_start():
    intrusion = a_rule()
    settings = msgspec.structs.replace(intrusion.settings, definition=ZoneIntrusion(min_duration_s=0))
    intrusion = msgspec.structs.replace(intrusion, settings=settings)
    judge = a_judge(intrusion)
    judge.judge(seen(0, people((float("nan"), 10, 30, 40))))
    judge.judge(seen(0.5))
    ended = a_judge(intrusion, states=judge.states()).judge(seen(60, NOBODY)).closed
    assert [closed.id for closed in ended] == [violation_id(1), violation_id(2)]


@pytest.mark.parametrize("key", ["rule-1", TRACKS])
def test_a_state_that_cannot_be_understood_begins_anew_and_is_told(key: str, caplog: pytest.LogCaptureFixture):
    judge = a_judge(states={key: b'{"episodes": 7, "tracks": 7}'})
    judge.judge(seen(0))
    assert judge.judge(seen(1)).opened
    assert not end_episodes({"rule-1": b"{"}, NOON)
    assert caplog.text.count("begins anew") == 2


@pytest.mark.parametrize("rules", [[], [a_rule(revision=2, min_duration_s=0.5)], [a_rule(revision=2, enabled=False)]])
def test_a_rule_that_is_gone_or_changed_ends_what_it_had_open(rules: list[Rule]):
    judge = a_judge(a_rule(), a_rule("rule-2"))
    judge.judge(seen(0))
    judge.judge(seen(1))
    verdict = judge.replace_rules([*rules, a_rule("rule-2")])
    assert [closed.id for closed in verdict.closed] == [violation_id(1)]
    assert judge.rules == (*rules, a_rule("rule-2"))
    assert [closed.id for closed in judge.finish().closed] == [violation_id(2)]


def test_a_disabled_rule_judges_nothing():
    judge = a_judge(a_rule(enabled=False))
    assert not judge.judge(seen(0))
    assert not judge.judge(seen(10))


# Recording


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def spool(events: list[str]) -> MemorySpool:
    return MemorySpool(events)


@pytest.fixture
def evidence(events: list[str]) -> MemoryEvidence:
    return MemoryEvidence(events)


def an_opening() -> tuple[Verdict, Seen]:
    judge = a_judge(a_rule(min_duration_s=0))
    return judge.judge(seen(0)), seen(0)


async def test_the_picture_is_kept_before_the_record_that_names_it(spool, evidence, events: list[str]):
    verdict, frame = an_opening()
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {("yard", "rule-1"): b"state"})
    assert events == ["picture", "picture", "commit 1 records 1 states"]
    assert violation.evidence.name in evidence.files
    assert spool.records == [ViolationOpened(violation=violation)]


async def test_a_picture_that_cannot_be_kept_costs_the_picture_and_says_why(spool, evidence):
    evidence.broken = True
    verdict, frame = an_opening()
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {})
    assert violation.evidence.missing_reason == "the disk is full"
    assert spool.records == [ViolationOpened(violation=violation)]


async def test_a_bug_in_what_takes_pictures_costs_the_pictures_and_not_the_violation(
    spool, evidence, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fails(*_: object) -> None:
        raise RuntimeError("raqm_layout() failed.")

    monkeypatch.setattr(recorder, "take_pictures", fails)
    verdict, frame = an_opening()
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {})
    assert spool.records == [ViolationOpened(violation=violation)]
    assert violation.evidence == violation.clean_evidence == Evidence(missing_reason=recorder.NOT_MADE)
    assert "raqm_layout() failed." in caplog.text


async def test_a_bug_in_the_evidence_store_costs_the_pictures_and_not_the_violation(
    spool, evidence, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def fails(*_: object) -> str:
        raise KeyError("unforeseen")

    monkeypatch.setattr(evidence, "put", fails)
    verdict, frame = an_opening()
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {})
    assert spool.records == [ViolationOpened(violation=violation)]
    assert violation.evidence.missing_reason == recorder.NOT_MADE
    assert "unforeseen" in caplog.text


async def test_a_box_that_no_picture_has_costs_the_pictures_and_not_the_violation(spool, evidence):
    judge = a_judge(a_rule(min_duration_s=0))
    endless = seen(0, people((10.0, 10.0, float("inf"), 40.0)))
    verdict = judge.judge(endless)
    assert len(verdict.opened) == 1
    (violation,) = await Recorder(spool, evidence).record(verdict, endless, {})
    assert spool.records == [ViolationOpened(violation=violation)]
    assert violation.evidence.missing_reason == recorder.NOT_MADE


async def test_a_spool_that_fails_is_a_fault_until_it_is_durable_again_and_nothing_is_lost(
    spool, evidence, events: list[str], monkeypatch: pytest.MonkeyPatch
):
    faults: list[str] = []
    recording = Recorder(spool, evidence)

    async def pause(_: float) -> None:
        faults.append(recording.fault)

    monkeypatch.setattr(recorder.asyncio, "sleep", pause)
    spool.failures = 3
    verdict, frame = an_opening()
    await recording.record(verdict, frame, {("yard", "rule-1"): b"state"})
    assert events == ["picture", "picture", *["commit failed"] * 3, "commit 1 records 1 states"]
    assert faults == ["the spool is not durable: the disk is full"] * 3
    assert recording.fault == ""
    assert spool.states == {("yard", "rule-1"): b"state"}


async def test_ends_and_beginnings_of_one_frame_are_one_commit(spool, evidence, events: list[str]):
    verdict, frame = an_opening()
    closed = ViolationClosed(id="before", ended_at=NOON, score=0.5, at=NOON)
    await Recorder(spool, evidence).record(Verdict(verdict.opened, closed=(closed,)), frame, {})
    assert events == ["picture", "picture", "commit 2 records 0 states"]
    assert spool.records[0] == closed


async def test_nothing_to_say_is_not_committed(spool, evidence, events: list[str]):
    assert await Recorder(spool, evidence).record(Verdict(), None, {}) == []
    assert events == []


async def test_the_picture_shows_the_frame_with_the_object_that_violates(spool, evidence):
    verdict, frame = an_opening()
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {})
    content = np.frombuffer(evidence.files[violation.evidence.name], np.uint8)
    assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == (48, 64, 3)


async def test_masks_are_applied_before_anything_is_kept(spool, evidence):
    verdict, frame = an_opening()
    everything = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    (violation,) = await Recorder(spool, evidence).record(verdict, frame, {}, [everything])
    clean = np.frombuffer(evidence.files[violation.clean_evidence.name], np.uint8)
    assert cv2.imdecode(clean, cv2.IMREAD_COLOR).max() == 0


async def test_a_better_frame_is_kept_beside_the_first_one(spool, evidence):
    judge = a_judge(a_rule(min_duration_s=0))
    for after_s, score in ((0, 0.5), (2, 0.9)):
        frame = seen(after_s, people((10, 10, 30, 40), score=score))
        await Recorder(spool, evidence).record(judge.judge(frame), frame, {})
    first, better = spool.records
    assert isinstance(first, ViolationOpened)
    assert isinstance(better, ViolationUpdated)
    folder = evidence_folder(violation_id(1))
    names = [first.violation.evidence.name, first.violation.clean_evidence.name]
    names += [better.evidence.name, better.clean_evidence.name]
    stems = [name.rpartition("-")[0] for name in names]
    assert stems == [f"{folder}/{stem}" for stem in ("0", "0-clean", "20", "20-clean")]
    assert set(names) == set(evidence.files)


async def test_no_picture_takes_the_place_of_another_where_a_camera_counts_its_frames_anew(spool, evidence):
    judge = a_judge(a_rule(min_duration_s=0))
    for after_s, score in ((0, 0.5), (2, 0.9)):
        detections = people((10, 10, 30, 40), score=score)
        frame = Seen(a_frame(0, START_S + after_s, seed=after_s), detections, CONTRACT, "triton-1", 0.0125)
        await Recorder(spool, evidence).record(judge.judge(frame), frame, {})
    assert len(spool.records) == 2
    assert len(evidence.files) == 4
    for name, content in evidence.files.items():
        assert name.endswith(f"-{hashlib.sha256(content).hexdigest()[:8]}.jpg")


def test_evidence_lies_by_the_day_of_its_violation():
    assert evidence_folder("019c0000-0000-7000-8000-000000000001").startswith("2026/01/27/019c0000-")


def test_every_way_an_inference_can_fail_has_a_cause_for_its_dropped_frame():
    assert set(frames._CAUSES) == set(InferenceError.__subclasses__())
