"""From a frame's detections, by a camera's rules, to what has to be recorded."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from gateway.domain.clock import from_unix
from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.model import ModelContract
from gateway.domain.rule import Rule
from gateway.domain.violation import Evidence, Violation, ViolationClosed
from gateway.rules import Closed, EpisodeState, Observation, Opened, evaluate, finish

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(EpisodeState)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame and what a model saw in it."""

    frame: Frame
    detections: Detections
    contract: ModelContract
    runtime_id: str
    latency_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one frame, or the end of a stream, leads to.

    Attributes:
        opened: New violations, their evidence still to be taken.
        closed: Violations that ended.
    """

    opened: tuple[Violation, ...] = ()
    closed: tuple[ViolationClosed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed)


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
        self._new_id = new_id
        self._utcnow = utcnow
        self._rules = {rule.id: rule for rule in rules}
        self._states = {rule_id: _decoder.decode(states[rule_id]) for rule_id in self._rules if rule_id in states}
        self._changed: set[str] = set()

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules judged by."""
        return tuple(self._rules.values())

    def replace_rules(self, rules: Sequence[Rule]) -> Verdict:
        """Judge by other rules from now on; what a rule that is gone or changed had open, ends."""
        new = {rule.id: rule for rule in rules}
        ended = [rule for rule_id, rule in self._rules.items() if new.get(rule_id) != rule]
        closed = self._finish(ended)
        self._rules = new
        self._states = {rule_id: state for rule_id, state in self._states.items() if rule_id in new}
        return Verdict(closed=closed)

    def judge(self, seen: Seen) -> Verdict:
        """Take one frame into account."""
        observation = Observation(seen.frame.time_s, seen.frame.resolution_wh, seen.detections)
        opened: list[Violation] = []
        closed: list[ViolationClosed] = []
        for rule in self._rules.values():
            if not rule.settings.enabled:
                continue
            before = self._states.get(rule.id, EpisodeState())
            state, transitions = evaluate(rule.settings.definition, before, observation)
            for transition in transitions:
                if isinstance(transition, Opened):
                    violation = self._violation(rule, transition, seen)
                    opened.append(violation)
                    state = msgspec.structs.replace(state, violation_id=violation.id)
                else:
                    closed.append(_closed(transition, self._utcnow()))
            if state is not before:
                self._states[rule.id] = state
                self._changed.add(rule.id)
        return Verdict(tuple(opened), tuple(closed))

    def finish(self) -> Verdict:
        """The stream is over: end what is open."""
        return Verdict(closed=self._finish(self._rules.values()))

    def take_changed_states(self) -> dict[str, bytes]:
        """States that changed since the last call, by rule id, as the spool keeps them."""
        changed, self._changed = self._changed, set()
        return {rule_id: _encoder.encode(self._states[rule_id]) for rule_id in changed if rule_id in self._states}

    def states(self) -> dict[str, bytes]:
        """Every rule's state as it is now, by rule id."""
        return {rule_id: _encoder.encode(state) for rule_id, state in self._states.items()}

    def _finish(self, rules: Iterable[Rule]) -> tuple[ViolationClosed, ...]:
        closed: list[ViolationClosed] = []
        for rule in rules:
            state, transitions = finish(self._states.get(rule.id, EpisodeState()))
            self._states[rule.id] = state
            self._changed.add(rule.id)
            closed.extend(_closed(t, self._utcnow()) for t in transitions if isinstance(t, Closed))
        return tuple(closed)

    def _violation(self, rule: Rule, opened: Opened, seen: Seen) -> Violation:
        now = self._utcnow()
        return Violation(
            id=self._new_id(),
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
            zone=rule.settings.definition.zone,
            frame_index=seen.frame.index,
            model=seen.contract.name,
            model_version=seen.contract.version,
            model_sha256=seen.contract.sha256,
            runtime_id=seen.runtime_id,
            latency_ms=round(seen.latency_s * 1000, 3),
            evidence=Evidence(missing_reason="not taken yet"),
            created_at=now,
            updated_at=now,
        )


def end_episodes(states: Iterable[bytes], now: dt.datetime) -> Verdict:
    """End what states that nobody judges by any more have open."""
    ended = [transition for state in states for transition in finish(_decoder.decode(state))[1]]
    return Verdict(closed=tuple(_closed(t, now) for t in ended if isinstance(t, Closed)))


def _closed(transition: Closed, now: dt.datetime) -> ViolationClosed:
    return ViolationClosed(
        id=transition.violation_id, ended_at=from_unix(transition.ended_s), score=transition.best.score, at=now
    )
