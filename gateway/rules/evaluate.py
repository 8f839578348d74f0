"""From one frame and a rule's state to what happened: the same for every type of rule."""

import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from gateway.domain import lost_numbers
from gateway.domain.definitions import Definition, ObjectDefinition, RuleDefinition
from gateway.rules import episode
from gateway.rules.episode import EpisodeState, Hit, Phase, Transition
from gateway.rules.kind import SCENE, Hits, Nothing
from gateway.rules.kinds import KINDS
from gateway.rules.observation import Observation, followed
from gateway.rules.schedule import holds

M = TypeVar("M")

FARTHEST_BACK_S = 3600.0
"""Frames that are older than what a state has seen by more than this belong to another time.

Less than that is no reason to end anything: a camera's frame time may run ahead of the clock by which a restart begins.
"""

LONGEST_UNSEEN_S = 2.0
"""So long between the last frame before a restart and the first one after it, and nobody was blind."""


class RuleState(msgspec.Struct, Generic[M], frozen=True, omit_defaults=True):
    """All that a rule remembers between two frames; kept in the spool, so it survives a crash.

    Attributes:
        memory: What its type remembers beside the episodes.
        episodes: The episodes that go on, by subject.
        quiet_until_s: Frame time before which no episode begins.
        seen_s: Frame time of the frame that it was changed by; 0 where that isn't known.
    """

    memory: M
    episodes: dict[str, EpisodeState] = {}
    quiet_until_s: float = 0.0
    seen_s: float = 0.0


AnyRuleState = RuleState[Any]


def initial(definition: RuleDefinition) -> AnyRuleState:
    """The state of a rule that has seen nothing."""
    return RuleState(KINDS[type(definition)].memory())


def evaluate(
    definition: RuleDefinition, state: AnyRuleState, observation: Observation, new_id: Callable[[], str]
) -> tuple[AnyRuleState, list[Transition]]:
    """Judge one frame.

    A frame from long before the state begins anew: a wrong clock was put right, or a clip that ran ahead of it was
    replaced by a camera. What was open ends, and nothing waits for a time that may never come. One from not so long
    before goes on with what is open, by the clock as it is now.

    Args:
        definition: The rule.
        state: As the last call returned it, the very same object where nothing changed.
        observation: The frame.
        new_id: Gives a violation its id.
    """
    if observation.time_s < state.seen_s - FARTHEST_BACK_S:
        fresh, ends = finish(definition, state)
        after, happened = evaluate(definition, fresh, observation, new_id)
        return after, ends + happened
    if observation.time_s < state.seen_s:
        state = _set_back(definition, state, observation.time_s)
    if not holds(definition.schedule, observation.time_s):
        return finish(definition, state)
    memory, hits = KINDS[type(definition)].judge(definition, state.memory, observation)
    if not hits and not state.episodes:
        if memory is state.memory:
            return state, []
        return RuleState(memory, {}, state.quiet_until_s, observation.time_s), []
    return _advance(definition, RuleState(memory, state.episodes, state.quiet_until_s), hits, observation, new_id)


def unseen_s(state: AnyRuleState, time_s: float) -> float:
    """Seconds from the last frame that a kept state saw to the first one after a restart: nobody looked meanwhile."""
    away_s = time_s - state.seen_s
    return away_s if state.seen_s and away_s > LONGEST_UNSEEN_S else 0.0


def finish(definition: RuleDefinition, state: AnyRuleState) -> tuple[AnyRuleState, list[Transition]]:
    """The stream is over, or the rule ceases to hold: end what is open."""
    closed = ended(state)
    fresh = initial(definition)
    return (state if state == fresh else fresh), closed


def ended(state: AnyRuleState) -> list[Transition]:
    """The end of everything that a state has open."""
    return [closed for each in state.episodes.values() for closed in episode.finish(each)[1]]


def numbers(state: AnyRuleState) -> set[int]:
    """The tracks that the episodes of a rule which follows objects are about."""
    return {int(number) for subject in state.episodes for number in _NUMBERS.findall(subject)}


def encode(state: AnyRuleState) -> bytes:
    """A state as the spool keeps it."""
    return _encoder.encode(state)


def decode(definition: RuleDefinition | None, data: bytes) -> AnyRuleState:
    """A state as the spool kept it, under the rule's definition as it is now; None where there is no rule any more.

    States written when rules had one episode each are understood; a memory of another type than the definition's (the
    rule was changed meanwhile) is forgotten, and its episodes go on.

    Raises:
        msgspec.MsgspecError: It is no state.
    """
    memory = Nothing() if definition is None else initial(definition).memory
    if "phase" in _keys.decode(data):
        single = lost_numbers.decode(_single, data)
        return RuleState(memory, {} if single.phase is Phase.IDLE else {SCENE: single})
    kind: type[msgspec.Struct] = type(memory)
    try:
        return lost_numbers.decode(_decoder(kind), data)
    except msgspec.ValidationError:
        known = lost_numbers.decode(_decoder(None), data)
        return RuleState(memory, known.episodes, known.quiet_until_s, known.seen_s)


def _set_back(definition: Definition, state: AnyRuleState, time_s: float) -> AnyRuleState:
    episodes = {subject: episode.set_back(each, time_s) for subject, each in state.episodes.items()}
    return RuleState(state.memory, episodes, min(state.quiet_until_s, time_s + definition.cooldown_s), time_s)


def _advance(
    definition: RuleDefinition,
    state: AnyRuleState,
    hits: Hits,
    observation: Observation,
    new_id: Callable[[], str],
) -> tuple[AnyRuleState, list[Transition]]:
    max_gap_s = max(definition.max_gap_s, observation.least_gap_s)
    episodes, quiet_until_s, transitions = _without_past(definition, state, observation, max_gap_s)
    least_share = KINDS[type(definition)].least_share(definition)
    shown = _shown(definition, observation) if least_share else set[str]()
    cools_from = _cools_down_from(definition, episodes, hits)
    for subject in dict.fromkeys((*state.episodes, *hits)):
        before, hit = episodes.pop(subject, episode.IDLE), hits.get(subject)
        begins = before.phase is Phase.IDLE
        if hit is not None and begins and not _begins(definition, hit, observation, quiet_until_s):
            hit = None
        first_hit_s = observation.time_s if begins else before.first_hit_s
        waits = any(ended_s < first_hit_s < ended_s + definition.cooldown_s for ended_s in cools_from)
        after, happened = episode.advance(
            before,
            observation.time_s,
            hit,
            min_duration_s=math.inf if waits else definition.min_duration_s,
            max_gap_s=max_gap_s,
            new_id=new_id,
            blind_s=observation.blind_s,
            least_share=least_share,
            shown=subject in shown,
        )
        transitions += happened
        if after.phase is not Phase.IDLE:
            episodes[subject] = after
    return RuleState(state.memory, episodes, quiet_until_s, observation.time_s), transitions


def _without_past(
    definition: Definition, state: AnyRuleState, observation: Observation, max_gap_s: float
) -> tuple[dict[str, EpisodeState], float, list[Transition]]:
    """The episodes that go on, until when no other begins, and the ends of those whose gap window has passed."""
    episodes, quiet_until_s, ends = dict[str, EpisodeState](), state.quiet_until_s, list[Transition]()
    for subject, each in state.episodes.items():
        if observation.time_s - each.last_hit_s <= max_gap_s:
            episodes[subject] = each
            continue
        _, closed = episode.finish(each, observation.blind_s)
        ends += closed
        if closed and definition.cooldown_s:
            quiet_until_s = max(quiet_until_s, each.last_hit_s + definition.cooldown_s)
    if ends and definition.cooldown_s:
        ended_s = quiet_until_s - definition.cooldown_s
        episodes = {
            subject: each
            for subject, each in episodes.items()
            if each.phase is Phase.OPEN or not ended_s < each.first_hit_s < quiet_until_s
        }
    return episodes, quiet_until_s, ends


def _shown(definition: Definition, observation: Observation) -> set[str]:
    """The subjects that this frame shows as the rule looks at them: sure enough to continue, and in its zone."""
    objects = followed(definition, observation) if isinstance(definition, ObjectDefinition) else ()
    return {SCENE, *(subject for subject, _ in objects)}


def _cools_down_from(definition: Definition, episodes: Mapping[str, EpisodeState], hits: Hits) -> list[float]:
    """Last hits after which a cooldown has begun, should what is open and isn't seen now have ended."""
    if not definition.cooldown_s:
        return []
    unseen = (each for subject, each in episodes.items() if subject not in hits)
    return [each.last_hit_s for each in unseen if each.phase is Phase.OPEN]


def _begins(definition: Definition, hit: Hit, observation: Observation, quiet_until_s: float) -> bool:
    """Whether a hit may begin an episode: it is sure enough, and the rule isn't cooling down."""
    sure = not isinstance(definition, ObjectDefinition) or hit.score >= definition.min_score
    return sure and observation.time_s >= quiet_until_s


_NUMBERS = re.compile(r"(?:^|\+)(\d+)")
"""Of a track, a pair of them, or a track's crossing."""

_encoder = msgspec.json.Encoder()
_keys = msgspec.json.Decoder(dict[str, msgspec.Raw])
_single = msgspec.json.Decoder(EpisodeState)


@lru_cache(maxsize=64)
def _decoder(memory: type[msgspec.Struct] | None) -> "msgspec.json.Decoder[AnyRuleState]":
    kind: Any = Any if memory is None else memory
    return msgspec.json.Decoder(RuleState[kind])
