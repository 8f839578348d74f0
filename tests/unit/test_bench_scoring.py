"""How the benchmark of violations counts."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench.d"


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.delitem(sys.modules, "scoring", raising=False)
    import scoring  # pyright: ignore[reportMissingImports] - a script's module

    return scoring


def told(started_at_s: float, ended_at_s: float, opened_at_s: float | None = None) -> dict[str, Any]:
    opened_at_s = started_at_s if opened_at_s is None else opened_at_s
    return {"started_at_s": started_at_s, "ended_at_s": ended_at_s, "opened_at_s": opened_at_s}


def test_an_event_that_is_told_in_pieces_is_found_once_and_the_other_pieces_are_false(scoring: ModuleType):
    score = scoring.Score()
    score.add([scoring.Event(5, 15)], [told(t, t + 1) for t in (5, 7, 9, 11, 13)])
    assert (score.found, score.missed, score.false) == (1, 0, 4)
    assert (score.precision, score.recall) == (0.2, 1.0)


def test_two_events_in_one_violation_are_found_once(scoring: ModuleType):
    score = scoring.Score()
    score.add([scoring.Event(5, 10), scoring.Event(12, 20)], [told(5, 20)])
    assert (score.found, score.missed, score.false) == (1, 1, 0)


def test_the_delay_is_to_the_frame_that_opened_the_violation(scoring: ModuleType):
    score = scoring.Score()
    score.add([scoring.Event(5, 10)], [told(5.2, 11, 6.4)])
    assert score.delays_s == pytest.approx((1.4,))


def test_what_began_long_before_an_event_does_not_tell_of_it(scoring: ModuleType):
    score = scoring.Score()
    score.add([scoring.Event(5, 10)], [told(1, 6), told(5.5, 9)])
    assert (score.found, score.missed, score.false) == (1, 0, 1)
