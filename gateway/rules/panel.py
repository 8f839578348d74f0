"""The rules of one camera, with the tracks that they share."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
import numpy as np

from gateway.domain import lost_numbers
from gateway.domain.definitions import ObjectDefinition, RuleDefinition
from gateway.domain.detections import Detections
from gateway.domain.frame import UInt8Array
from gateway.rules import evaluate as engine
from gateway.rules.episode import Transition
from gateway.rules.evaluate import AnyRuleState
from gateway.rules.kinds import KINDS
from gateway.rules.observation import PERIODS_IN_A_GAP, Observation
from gateway.rules.tracker import Leeway, TrackerState, Tracks, as_one, follow

TRACKS = "~tracks"
"""The key of the tracks among the states of a camera's rules; no rule's id, as those are UUIDs."""

LUMA_SHAPE = (36, 64)


@dataclass(frozen=True, slots=True)
class Happened:
    """What a frame led to under one rule."""

    rule_id: str
    transition: Transition


class Panel:
    """Judges frames by several rules and remembers how far each has come. Waits for nothing, reads no clock.

    Args:
        definitions: The rules by id.
        states: Their states as `take_changed` gave them, by id, with that of the tracks.
        new_id: Gives a violation its id.

    Attributes:
        unreadable: Why a state can't be understood, by id; what it is of begins anew.
    """

    def __init__(
        self, definitions: Mapping[str, RuleDefinition], states: Mapping[str, bytes], new_id: Callable[[], str]
    ) -> None:
        self._new_id = new_id
        self._definitions: dict[str, RuleDefinition] = {}
        self._states: dict[str, AnyRuleState] = {}
        self.unreadable: dict[str, str] = {}
        self._changed: set[str] = set()
        self._tracker = TrackerState()
        if TRACKS in states:
            with self._noting(TRACKS):
                self._tracker = lost_numbers.decode(_tracks, states[TRACKS])
        self._period_s = 0.0
        self._resumes = bool(states)
        self.replace(definitions)
        for rule_id, definition in definitions.items():
            if rule_id in states:
                with self._noting(rule_id):
                    self._states[rule_id] = engine.decode(definition, states[rule_id])
        if TRACKS in self.unreadable:
            self._follow_anew()

    def replace(self, definitions: Mapping[str, RuleDefinition]) -> list[Happened]:
        """Judge by other rules from now on; what a rule that is gone or changed had open, ends."""
        gone = [rule_id for rule_id, old in self._definitions.items() if definitions.get(rule_id) != old]
        happened = [Happened(rule_id, end) for rule_id in gone for end in engine.ended(self._states[rule_id])]
        kept = {rule_id: state for rule_id, state in self._states.items() if rule_id not in gone}
        self._changed |= {rule_id for rule_id in gone if rule_id in definitions}
        self._definitions = dict(definitions)
        self._states = {id_: kept.get(id_) or engine.initial(definition) for id_, definition in definitions.items()}
        kinds = [KINDS[type(definition)] for definition in definitions.values()]
        self._follows = any(kind.follows for kind in kinds)
        following = [definition for definition in definitions.values() if KINDS[type(definition)].follows]
        self._gap_s = max((definition.max_gap_s for definition in following), default=0.0)
        self._confused = as_one(each.labels for each in following if isinstance(each, ObjectDefinition))
        self._looks = any(kind.looks for kind in kinds)
        return happened

    def judge(
        self,
        time_s: float,
        resolution_wh: tuple[int, int],
        detections: Detections,
        luma: UInt8Array,
        blind_s: float = 0.0,
        period_s: float = 0.0,
    ) -> list[Happened]:
        """Take one frame into account.

        Args:
            time_s: Frame time in seconds. Where it is long before the last frame's, everything begins anew.
            resolution_wh: Width and height of the picture in pixels.
            detections: What the model saw, in those pixels.
            luma: `(H, W)` uint8.
            blind_s: Seconds since the last frame in which frames were due and none was seen.
            period_s: Seconds between two frames that are due; 0 where that isn't known. The frames before a faster
                rate was granted were due less often.
        """
        least_gap_s = PERIODS_IN_A_GAP * max(period_s, self._period_s)
        self._period_s = period_s
        leeway = Leeway(max(self._gap_s, least_gap_s), least_gap_s, self._confused)
        tracks = self._follow(time_s, detections, leeway, max(blind_s, self._unseen_s(time_s)))
        observation = Observation(time_s, resolution_wh, detections, tracks, self._look(luma), blind_s, least_gap_s)
        happened: list[Happened] = []
        for rule_id, definition in self._definitions.items():
            before = self._states[rule_id]
            if self._resumes:
                observation = replace(observation, blind_s=max(blind_s, engine.unseen_s(before, time_s)))
            after, transitions = engine.evaluate(definition, before, observation, self._new_id)
            happened += [Happened(rule_id, transition) for transition in transitions]
            if after is not before:
                self._states[rule_id] = after
                self._changed.add(rule_id)
        self._resumes = False
        return happened

    def finish(self) -> list[Happened]:
        """The stream is over: end what is open and forget whom it showed."""
        happened: list[Happened] = []
        for rule_id, definition in self._definitions.items():
            self._states[rule_id], ends = engine.finish(definition, self._states[rule_id])
            happened += [Happened(rule_id, end) for end in ends]
            self._changed.add(rule_id)
        return happened

    def take_changed(self) -> dict[str, bytes]:
        """States that changed since the last call, by id, as the spool keeps them."""
        changed, self._changed = self._changed, set()
        return {key: self._encoded(key) for key in changed if key == TRACKS or key in self._states}

    def states(self) -> dict[str, bytes]:
        """Every state as it is now, by id."""
        tracks = {TRACKS: self._encoded(TRACKS)} if self._follows else {}
        return {**tracks, **{rule_id: self._encoded(rule_id) for rule_id in self._states}}

    @contextmanager
    def _noting(self, key: str) -> Generator[None]:
        try:
            yield
        except msgspec.MsgspecError as error:
            self.unreadable[key] = str(error)
            self._changed.add(key)

    def _follow_anew(self) -> None:
        """The tracks are lost: nobody is whom a rule remembers, and new ones get no number that an episode has."""
        taken = {0}
        for rule_id, definition in self._definitions.items():
            if KINDS[type(definition)].follows:
                state = self._states[rule_id]
                taken |= engine.numbers(state)
                self._states[rule_id] = msgspec.structs.replace(state, memory=engine.initial(definition).memory)
                self._changed.add(rule_id)
        self._tracker = TrackerState(max(taken) + 1)

    def _encoded(self, key: str) -> bytes:
        return msgspec.json.encode(self._tracker) if key == TRACKS else engine.encode(self._states[key])

    def _unseen_s(self, time_s: float) -> float:
        """Seconds before the first frame after a restart in which nobody looked, by the rule that saw a frame last."""
        states = self._states.values() if self._resumes else ()
        return min((engine.unseen_s(state, time_s) for state in states if state.seen_s), default=0.0)

    def _follow(self, time_s: float, detections: Detections, leeway: Leeway, blind_s: float) -> Tracks:
        if not self._follows:
            return _untracked(len(detections))
        before = self._tracker
        self._tracker, tracks = follow(before, time_s, detections, leeway, blind_s)
        if self._tracker != before:
            self._changed.add(TRACKS)
        return tracks

    def _look(self, luma: UInt8Array) -> UInt8Array | None:
        """Single pixels and no means: a mean would hide the noise that tells a live picture from a frozen one."""
        if not self._looks:
            return None
        rows, columns = (
            (2 * np.arange(n) + 1) * size // (2 * n) for n, size in zip(LUMA_SHAPE, luma.shape, strict=True)
        )
        picked: UInt8Array = luma[np.ix_(rows, columns)]
        return picked


_tracks = msgspec.json.Decoder(TrackerState)


@lru_cache(maxsize=512)
def _untracked(n: int) -> Tracks:
    """As `Tracks.none`: the same for every frame of so many objects, as no rule writes to it."""
    return Tracks.none(n)
