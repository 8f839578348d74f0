"""Two outcomes of one clip, side by side."""

import datetime as dt
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.definitions import Schedule, ZonePresence
from gateway.domain.frame import Frame
from gateway.domain.rule import RuleSettings
from gateway.errors import InvalidInputError
from gateway.pipeline.outcome import Moved, ReplayedViolation, diff, read_recorded
from gateway.pipeline.replay import Outcome, ReplayReport
from tests.support.scenes import seen, standing

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
CLIP_S = 100.0
PICTURE = np.zeros((48, 64), np.uint8)
CHROMA = np.zeros((24, 32), np.uint8)
SHOWN = {
    "camera_id": "yard",
    "type": "zone_presence",
    "rule_name": "nobody",
    "started_at": "2026-01-01T12:00:01Z",
    "ended_at": None,
    "label": "person",
    "score": 0.9,
    "box": [1, 2, 3, 4],
}


def violation(started_at_s: float, ended_at_s: float, rule: str = "nobody") -> ReplayedViolation:
    return ReplayedViolation(
        type="zone_presence", rule=rule, started_at_s=started_at_s, ended_at_s=ended_at_s, label="person", score=0.9
    )


Violations = st.lists(
    st.builds(
        lambda start, length, rule: violation(start, start + length, rule),
        st.integers(0, 50),
        st.integers(0, 20),
        st.sampled_from(["a", "b"]),
    ),
    max_size=8,
)


def test_what_is_there_again_is_the_same_or_has_moved_and_the_rest_is_gone_or_new():
    recorded = [violation(0, 5), violation(10, 20), violation(30, 31), violation(40, 50, "other")]
    replayed = [violation(0.3, 5.2), violation(12, 28), violation(40, 50), violation(60, 61)]
    outcome = diff(recorded, replayed, CLIP_S, {})
    assert outcome.same == 1
    assert outcome.moved == (Moved(recorded[1], replayed[1]),)
    assert outcome.gone == (recorded[2], recorded[3])
    assert outcome.new == (replayed[2], replayed[3])


@given(recorded=Violations, replayed=Violations)
def test_every_violation_is_told_once(recorded: list[ReplayedViolation], replayed: list[ReplayedViolation]):
    outcome = diff(recorded, replayed, CLIP_S, {})
    assert outcome.same + len(outcome.moved) + len(outcome.gone) == len(recorded)
    assert outcome.same + len(outcome.moved) + len(outcome.new) == len(replayed)
    assert diff(recorded, recorded, CLIP_S, {}).same == len(recorded)


@given(recorded=Violations, replayed=Violations)
def test_what_is_there_again_to_the_second_is_never_told_to_have_moved(
    recorded: list[ReplayedViolation], replayed: list[ReplayedViolation]
):
    def counted(violations: list[ReplayedViolation]) -> Counter[tuple[str, float, float]]:
        return Counter((each.rule, each.started_at_s, each.ended_at_s) for each in violations)

    assert diff(recorded, replayed, CLIP_S, {}).same >= (counted(recorded) & counted(replayed)).total()


def test_a_long_violation_takes_no_other_ones_match():
    outcome = diff([violation(0, 30), violation(10, 12)], [violation(10, 12)], CLIP_S, {})
    assert (outcome.same, outcome.moved, outcome.gone) == (1, (), (violation(0, 30),))


def test_of_what_is_on_record_only_the_part_inside_the_clip_is_compared():
    recorded = [violation(-5, 3), violation(8, float("inf")), violation(-9, -1), violation(17, 40)]
    outcome = diff(recorded, [violation(0, 3), violation(8, 16)], 16, {})
    assert (outcome.same, outcome.moved, outcome.gone, outcome.new) == (2, (), (), ())


def test_what_reaches_beyond_the_clip_has_moved_only_if_it_is_seen_to_begin_or_end_inside():
    recorded = [violation(-5, 12), violation(13, float("inf"))]
    rules = {"nobody": ZonePresence(max_gap_s=2)}
    assert diff(recorded, [violation(1.8, 12), violation(13, 38.2)], 40, rules).moved == ()
    assert len(diff(recorded, [violation(3, 12), violation(13, 37)], 40, rules).moved) == 2
    inside = [violation(0, 12), violation(13, 40)]
    assert len(diff(inside, [violation(1.8, 12), violation(13, 38.2)], 40, rules).moved) == 2


def test_what_the_clip_shows_too_little_of_to_be_found_is_not_gone():
    recorded = [violation(-20, 3), violation(12, 60), violation(2, 6), violation(1, 40)]
    outcome = diff(recorded, [], 16, {"nobody": ZonePresence(min_duration_s=5)})
    assert outcome.gone == (violation(2, 6), violation(1, 16))


@pytest.mark.parametrize(
    ("started_at", "found", "ignored"),
    [(NOON, 1, []), (NOON.replace(hour=7), 0, []), (NOON.replace(day=2), 0, []), (None, 1, ["shift"])],
)
def test_schedules_go_by_when_the_clip_was_taken_or_hold_all_the_time_where_nobody_knows(
    started_at: dt.datetime | None, found: int, ignored: list[str]
):
    shift = ZonePresence(schedule=Schedule(days=("thu",), start="08:00", end="18:00"))
    outcome = Outcome([RuleSettings(name="shift", definition=shift)], started_at)
    for k in range(50):
        frame = Frame(k, k * 0.2, k * 0.2, PICTURE, CHROMA, CHROMA)
        outcome.observe(frame, seen(("person", standing(20))))
    violations = outcome.finish()
    assert (len(violations), outcome.schedules_ignored) == (found, ignored)
    assert [(v.started_at_s, v.opened_at_s, v.ended_at_s) for v in violations] == [(0.0, 1.0, 9.8)] * found


def test_a_replays_own_report_and_the_apis_list_can_be_compared_with():
    report = msgspec.json.encode(ReplayReport(violations=[violation(1, 2)]))
    assert read_recorded(report, None) == [violation(1, 2)]
    shown = msgspec.json.encode({"items": [SHOWN], "next_cursor": None})
    assert read_recorded(shown, NOON) == [violation(1, float("inf"))]
    with pytest.raises(InvalidInputError, match="--clip-started-at"):
        read_recorded(shown, None)


def test_an_answer_that_is_not_whole_or_of_several_cameras_is_refused():
    with pytest.raises(InvalidInputError, match=r"only the first 1 of more.*limit="):
        read_recorded(msgspec.json.encode({"items": [SHOWN], "next_cursor": "x"}), NOON)
    with pytest.raises(InvalidInputError, match=r"2 cameras.*camera_id="):
        read_recorded(msgspec.json.encode({"items": [SHOWN, SHOWN | {"camera_id": "hall"}]}), NOON)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"items": [{"type": 1}]}'])
def test_anything_else_is_refused_with_what_would_do(content: bytes):
    with pytest.raises(InvalidInputError, match="replay --json"):
        read_recorded(content, NOON)
