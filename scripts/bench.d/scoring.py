"""How what was found is matched with what happens: events, and the violations that tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

EARLY_S = 1.5
"""Annotations are good to a second; a violation may begin so much before its event."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in a clip, in seconds of it."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Score:
    """Events of one kind over several clips.

    Attributes:
        found: Events that a violation tells of.
        missed: Those that none does.
        false: Violations that tell of no event, or of one that another has told of already.
        delays_s: Of each event found, from its beginning to the frame that opened the violation.
    """

    found: int = 0
    missed: int = 0
    false: int = 0
    delays_s: tuple[float, ...] = ()

    @property
    def precision(self) -> float:
        """Of what was found, the part that happened; 1 where nothing was found."""
        return self.found / (self.found + self.false) if self.found + self.false else 1.0

    @property
    def recall(self) -> float:
        """Of what happened, the part that was found; 1 where nothing happened."""
        return self.found / (self.found + self.missed) if self.found + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Their harmonic mean."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def add(self, events: Sequence[Event], violations: Sequence[dict[str, Any]]) -> None:
        """Match events with violations as `replay --json` prints them, both in order of time; each counts once."""
        left = list(violations)
        for event in events:
            tells = (v for v in left if _overlaps(v, event) and v["started_at_s"] >= event.start_s - EARLY_S)
            first = next(tells, None)
            if first is None:
                self.missed += 1
                continue
            left.remove(first)
            self.found += 1
            self.delays_s += (max(0.0, first["opened_at_s"] - event.start_s),)
        self.false += len(left)


def _overlaps(violation: dict[str, Any], event: Event) -> bool:
    return bool(violation["started_at_s"] <= event.end_s and violation["ended_at_s"] >= event.start_s)
