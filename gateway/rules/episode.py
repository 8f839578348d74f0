"""The state machine that makes one violation of one episode, however many frames it spans.

    idle ──hit──▶ candidate ──hits last ≥ min_duration──▶ open ──no hit for > max_gap──▶ idle (closed)
                      └──no hit for > max_gap, or in too many frames──▶ idle (nothing happened)

Time is frame time. A frame that never came is no verdict: only the time between frames that did come counts as a gap,
so an episode goes on over missing frames until its gap window has passed; how long nobody looked is kept with it,
and with the end of one that nobody saw end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import msgspec

UPDATE_STEP = 0.05
"""A violation's best frame is replaced by one whose score is better by more than this."""

UPDATE_EVERY_S = 1.0
"""And not more often than this, in frame time, unless it is better by `LEAP`."""

LEAP = 0.15
"""A frame that is better by more than this is worth its pictures at any time: there are six of them at most."""


class Phase(StrEnum):
    """Where an episode stands."""

    IDLE = "idle"
    CANDIDATE = "candidate"
    OPEN = "open"


class Hit(msgspec.Struct, frozen=True, omit_defaults=True):
    """The best object that counts in one frame.

    Attributes:
        label: Its class.
        score: Its score, 0..1.
        box: x1, y1, x2, y2 in source pixels.
        track_id: Which followed object it is; None where the rule follows none.
    """

    label: str
    score: float
    box: tuple[float, float, float, float]
    track_id: int | None = None


class EpisodeState(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is remembered between two frames; kept in the spool, so it survives a crash.

    Attributes:
        phase: Where the episode stands.
        first_hit_s: Frame time of its first hit.
        last_hit_s: Frame time of its last hit.
        best: Its best hit so far.
        violation_id: Id of the violation it opened; empty before.
        blind_s: Seconds of it in which no frame was seen.
        told_s: Frame time when the violation was opened or updated last.
        told_score: Its best score as told then.
        frames: Frames that showed its subject before it opened, from the first hit on.
        hits: Those of them that hit; 0 in a candidate that was kept when they weren't counted yet.
        seen_until_s: Frame time of its last hit before the clock was set back; 0 where it never was.
    """

    phase: Phase = Phase.IDLE
    first_hit_s: float = 0.0
    last_hit_s: float = 0.0
    best: Hit | None = None
    violation_id: str = ""
    blind_s: float = 0.0
    told_s: float = 0.0
    told_score: float = 0.0
    frames: int = 0
    hits: int = 0
    seen_until_s: float = 0.0


IDLE = EpisodeState()


@dataclass(frozen=True, slots=True)
class Opened:
    """A violation began. `started_s` is the frame time of the episode's first hit; `hit` is this frame's."""

    violation_id: str
    started_s: float
    hit: Hit
    blind_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Updated:
    """This frame shows an open violation better than any before."""

    violation_id: str
    hit: Hit
    blind_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Closed:
    """A violation ended. `ended_s` is the frame time of its last hit, `best` its best hit.

    `blind_s` includes the seconds right after the last hit in which nobody looked: it may have gone on then.
    """

    violation_id: str
    ended_s: float
    best: Hit
    blind_s: float = 0.0


Transition = Opened | Updated | Closed


def advance(
    state: EpisodeState,
    time_s: float,
    hit: Hit | None,
    *,
    min_duration_s: float,
    max_gap_s: float,
    new_id: Callable[[], str],
    blind_s: float = 0.0,
    least_share: float = 0.0,
    shown: bool = True,
) -> tuple[EpisodeState, list[Transition]]:
    """Take one frame into account.

    Args:
        state: As the last call returned it.
        time_s: Frame time in seconds; at most a little before the last call's, as over a restart.
        hit: The best object that counts in this frame; None when there is none.
        min_duration_s: How long hits must last before a violation opens.
        max_gap_s: How long a gap between hits is tolerated.
        new_id: Gives a violation its id, should one open now.
        blind_s: Seconds since the last frame in which nobody looked.
        least_share: A candidate is none any more once less than this share of its frames hit, 0..1.
        shown: Whether a frame without a hit shows its subject: one that doesn't says nothing against a candidate.

    Returns:
        The new state and what happened: at most a `Closed` followed by an `Opened`.
    """
    transitions: list[Transition] = []
    if state.phase is not Phase.IDLE:
        if time_s - state.last_hit_s > max_gap_s:
            state, transitions = finish(state, blind_s)
        elif blind_s:
            state = msgspec.structs.replace(state, blind_s=state.blind_s + blind_s)
    if hit is None:
        return (_without_hit(state, least_share) if shown else state), transitions
    state = _with_hit(state, time_s, hit)
    if state.phase is Phase.CANDIDATE and time_s - state.first_hit_s >= min_duration_s:
        state = msgspec.structs.replace(
            state, phase=Phase.OPEN, violation_id=new_id(), told_s=time_s, told_score=hit.score
        )
        transitions.append(Opened(state.violation_id, state.first_hit_s, hit, state.blind_s))
    elif _shows_it_better(state, time_s, hit):
        state = msgspec.structs.replace(state, told_s=time_s, told_score=hit.score)
        transitions.append(Updated(state.violation_id, hit, state.blind_s))
    return state, transitions


def finish(state: EpisodeState, blind_s: float = 0.0) -> tuple[EpisodeState, list[Transition]]:
    """End the episode now: the stream is over, or its gap window has passed, for `blind_s` of it unseen."""
    if state.phase is not Phase.OPEN or state.best is None:
        return IDLE, []
    ended_s = max(state.first_hit_s, state.last_hit_s, state.seen_until_s)  # frame time may have gone back
    return IDLE, [Closed(state.violation_id, ended_s, state.best, state.blind_s + blind_s)]


def set_back(state: EpisodeState, time_s: float) -> EpisodeState:
    """The clock was set back to `time_s`: nothing waits for a time that was.

    A candidate begins by the new clock at the latest. What is open keeps its beginning and its last hit for the record,
    and its gap begins now.
    """
    before_s = max(state.last_hit_s, state.seen_until_s)
    first_hit_s = state.first_hit_s if state.phase is Phase.OPEN else min(state.first_hit_s, time_s)
    return msgspec.structs.replace(
        state,
        first_hit_s=first_hit_s,
        last_hit_s=min(state.last_hit_s, time_s),
        told_s=min(state.told_s, time_s),
        seen_until_s=before_s,
    )


def _shows_it_better(state: EpisodeState, time_s: float, hit: Hit) -> bool:
    least = UPDATE_STEP if time_s - state.told_s >= UPDATE_EVERY_S else LEAP
    return state.phase is Phase.OPEN and hit.score > state.told_score + least


def _with_hit(state: EpisodeState, time_s: float, hit: Hit) -> EpisodeState:
    if state.phase is Phase.IDLE:
        return EpisodeState(Phase.CANDIDATE, time_s, time_s, hit, frames=1, hits=1)
    if state.phase is Phase.CANDIDATE:
        state = msgspec.structs.replace(state, frames=state.frames + 1, hits=state.hits + 1)
    best = hit if state.best is None or hit.score > state.best.score else state.best
    return msgspec.structs.replace(state, last_hit_s=time_s, best=best)


def _without_hit(state: EpisodeState, least_share: float) -> EpisodeState:
    if state.phase is not Phase.CANDIDATE or not least_share or not state.hits:
        return state
    frames = state.frames + 1
    return msgspec.structs.replace(state, frames=frames) if state.hits >= least_share * frames else IDLE
