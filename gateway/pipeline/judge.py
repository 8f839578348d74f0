"""From a frame's detections, by a camera's rules, to what has to be recorded."""

import datetime as dt
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gateway.domain.clock import from_unix
from gateway.domain.definitions import RuleDefinition
from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.model import ModelContract
from gateway.domain.rule import Rule
from gateway.domain.violation import Evidence, Sighting, Violation, ViolationClosed, ViolationUpdated
from gateway.rules import TRACKS, Closed, Happened, Opened, Panel, Transition, Updated, decode, ended, holds

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame and what a model saw in it."""

    frame: Frame
    detections: Detections
    contract: ModelContract
    runtime_id: str
    latency_s: float


@dataclass(frozen=True, slots=True)
class Better:
    """An open violation that a frame shows better, and the rule it broke."""

    record: ViolationUpdated
    rule: Rule


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one frame, or the end of a stream, leads to.

    Attributes:
        opened: New violations, their evidence still to be taken.
        updated: Open violations that the frame shows better, its evidence still to be taken.
        closed: Violations that ended.
    """

    opened: tuple[Violation, ...] = ()
    updated: tuple[Better, ...] = ()
    closed: tuple[ViolationClosed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.updated or self.closed)


NOTHING = Verdict()
NOT_TAKEN = Evidence(missing_reason="not taken yet")


class Judge:
    """One camera's rules and how far each has come.

    Args:
        rules: The camera's rules.
        states: Their states as the spool kept them, by rule id.
        new_id: Gives a violation its id.
        utcnow: The wall clock, for records.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        states: Mapping[str, bytes],
        new_id: Callable[[], str],
        utcnow: Callable[[], dt.datetime],
    ) -> None:
        self._utcnow = utcnow
        self._rules = {rule.id: rule for rule in rules}
        self._panel = Panel(_definitions(rules), states, new_id)
        for rule_id, why in self._panel.unreadable.items():
            _log_unreadable(rule_id, why)

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules judged by."""
        return tuple(self._rules.values())

    def watching(self) -> list[str]:
        """Ids of the rules that are to judge now: they are enabled, and their schedule includes this moment."""
        now_s = self._utcnow().timestamp()
        return [
            rule_id for rule_id, definition in _definitions(self.rules).items() if holds(definition.schedule, now_s)
        ]

    def replace_rules(self, rules: Sequence[Rule]) -> Verdict:
        """Judge by other rules from now on; what a rule that is gone or changed had open, ends."""
        happened = self._panel.replace(_definitions(rules))
        self._rules = {rule.id: rule for rule in rules}
        return Verdict(closed=self._closed(happened))

    def judge(self, seen: Seen, blind_s: float = 0.0, period_s: float = 0.0) -> Verdict:
        """Take one frame into account.

        Args:
            seen: The frame.
            blind_s: Seconds before it in which nobody looked.
            period_s: Seconds between two frames that are due; 0 where that isn't known.
        """
        frame = seen.frame
        happened = self._panel.judge(frame.time_s, frame.resolution_wh, seen.detections, frame.luma, blind_s, period_s)
        if not happened:
            return NOTHING
        opened = [
            self._violation(self._rules[each.rule_id], each.transition, seen)
            for each in happened
            if isinstance(each.transition, Opened)
        ]
        updated = [
            Better(self._updated(each.transition, seen), self._rules[each.rule_id])
            for each in happened
            if isinstance(each.transition, Updated)
        ]
        return Verdict(tuple(opened), tuple(updated), self._closed(happened))

    def finish(self) -> Verdict:
        """The stream is over: end what is open."""
        return Verdict(closed=self._closed(self._panel.finish()))

    def take_changed_states(self) -> dict[str, bytes]:
        """States that changed since the last call, by rule id, as the spool keeps them."""
        return self._panel.take_changed()

    def states(self) -> dict[str, bytes]:
        """Every rule's state as it is now, by rule id."""
        return self._panel.states()

    def _closed(self, happened: Iterable[Happened]) -> tuple[ViolationClosed, ...]:
        return tuple(_closed(h.transition, self._utcnow()) for h in happened if isinstance(h.transition, Closed))

    def _violation(self, rule: Rule, opened: Opened, seen: Seen) -> Violation:
        now = self._utcnow()
        return Violation(
            id=opened.violation_id,
            camera_id=rule.camera_id,
            rule_id=rule.id,
            rule_revision=rule.revision,
            rule_name=rule.settings.name,
            type=rule.settings.definition.type,
            severity=rule.settings.severity,
            started_at=from_unix(opened.started_s),
            label=opened.hit.label,
            score=opened.hit.score,
            box=opened.hit.box,
            resolution_wh=seen.frame.resolution_wh,
            zone=rule.settings.definition.outline(),
            track_id=opened.hit.track_id,
            frame_index=seen.frame.index,
            frame_at=from_unix(seen.frame.time_s),
            pts_s=seen.frame.pts_s,
            blind_seconds=round(opened.blind_s, 3),
            model=seen.contract.name,
            model_version=seen.contract.version,
            model_sha256=seen.contract.sha256,
            runtime_id=seen.runtime_id,
            latency_ms=round(seen.latency_s * 1000, 3),
            evidence=NOT_TAKEN,
            clean_evidence=NOT_TAKEN,
            clip=NOT_TAKEN,
            created_at=now,
            updated_at=now,
        )

    def _updated(self, updated: Updated, seen: Seen) -> ViolationUpdated:
        return ViolationUpdated(
            id=updated.violation_id,
            label=updated.hit.label,
            score=updated.hit.score,
            box=updated.hit.box,
            frame_index=seen.frame.index,
            frame_at=from_unix(seen.frame.time_s),
            pts_s=seen.frame.pts_s,
            blind_seconds=round(updated.blind_s, 3),
            evidence=NOT_TAKEN,
            clean_evidence=NOT_TAKEN,
            sighting=_sighting(seen, updated.hit.track_id),
            at=self._utcnow(),
        )


def end_episodes(states: Mapping[str, bytes], now: dt.datetime, *, cut_off: bool = False) -> Verdict:
    """End what states, by rule id, that nobody judges by here any more have open; cut off where it may go on."""
    ends = [end for rule_id, state in states.items() if rule_id != TRACKS for end in _ended(rule_id, state)]
    closed = (_closed(end, now) for end in ends if isinstance(end, Closed))
    return Verdict(closed=tuple(msgspec.structs.replace(each, cut_off=cut_off) for each in closed))


def _ended(rule_id: str, state: bytes) -> Sequence[Transition]:
    try:
        return ended(decode(None, state))
    except msgspec.MsgspecError as error:
        _log_unreadable(rule_id, str(error))
        return ()


def _log_unreadable(rule_id: str, why: str) -> None:
    _logger.warning("a rule's state can't be understood; it begins anew", extra={"rule_id": rule_id, "reason": why})


def _definitions(rules: Sequence[Rule]) -> dict[str, RuleDefinition]:
    return {rule.id: rule.settings.definition for rule in rules if rule.settings.enabled}


def _sighting(seen: Seen, track_id: int | None) -> Sighting:
    return Sighting(
        resolution_wh=seen.frame.resolution_wh,
        track_id=track_id,
        model=seen.contract.name,
        model_version=seen.contract.version,
        model_sha256=seen.contract.sha256,
        runtime_id=seen.runtime_id,
        latency_ms=round(seen.latency_s * 1000, 3),
    )


def _closed(transition: Closed, now: dt.datetime) -> ViolationClosed:
    return ViolationClosed(
        id=transition.violation_id,
        ended_at=from_unix(transition.ended_s),
        score=transition.best.score,
        blind_seconds=round(transition.blind_s, 3),
        at=now,
    )
