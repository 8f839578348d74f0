"""Two outcomes of one clip, side by side."""

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidInputError
from gateway.pipeline.outcome import Moved, ReplayedViolation, diff, read_recorded
from gateway.pipeline.replay import ReplayReport

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


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
    outcome = diff(recorded, replayed)
    assert outcome.same == 1
    assert outcome.moved == (Moved(recorded[1], replayed[1]),)
    assert outcome.gone == (recorded[2], recorded[3])
    assert outcome.new == (replayed[2], replayed[3])


@given(recorded=Violations, replayed=Violations)
def test_every_violation_is_told_once(recorded: list[ReplayedViolation], replayed: list[ReplayedViolation]):
    outcome = diff(recorded, replayed)
    assert outcome.same + len(outcome.moved) + len(outcome.gone) == len(recorded)
    assert outcome.same + len(outcome.moved) + len(outcome.new) == len(replayed)
    assert diff(recorded, recorded).same == len(recorded)


def test_a_replays_own_report_and_the_apis_list_can_be_compared_with():
    report = msgspec.json.encode(ReplayReport(violations=[violation(1, 2)]))
    assert read_recorded(report, None) == [violation(1, 2)]
    shown = {
        "items": [
            {
                "type": "zone_presence",
                "rule_name": "nobody",
                "started_at": "2026-01-01T12:00:01Z",
                "ended_at": None,
                "label": "person",
                "score": 0.9,
                "box": [1, 2, 3, 4],
            }
        ],
        "next_cursor": None,
    }
    assert read_recorded(msgspec.json.encode(shown), NOON) == [violation(1, float("inf"))]
    with pytest.raises(InvalidInputError, match="--clip-started-at"):
        read_recorded(msgspec.json.encode(shown), None)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"items": [{"type": 1}]}'])
def test_anything_else_is_refused_with_what_would_do(content: bytes):
    with pytest.raises(InvalidInputError, match="replay --json"):
        read_recorded(content, NOON)
