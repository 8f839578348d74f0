"""The episode machine against a plain reading of its definition, and over crashes in the middle."""

from dataclasses import dataclass

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.rules.episode import (
    IDLE,
    LEAP,
    UPDATE_EVERY_S,
    Closed,
    EpisodeState,
    Hit,
    Opened,
    Phase,
    Transition,
    Updated,
    advance,
    finish,
)

# Times and limits in eighths of a second, which floats hold exactly.
Frames = st.lists(st.tuples(st.integers(0, 24), st.none() | st.integers(0, 100)), max_size=80)
Limits = st.tuples(st.integers(0, 32), st.integers(0, 24))


@dataclass
class Episode:
    """What should have been recorded."""

    started_s: float
    ended_s: float
    peak: float


def hits_of(frames: list[tuple[int, int | None]]) -> list[tuple[float, Hit | None]]:
    time_s, observed = 0.0, []
    for step, score in frames:
        time_s += step / 8
        observed.append((time_s, None if score is None else Hit(f"label-{score}", score / 100, (0.0, 0.0, 1.0, 1.0))))
    return observed


def by_definition(observed: list[tuple[float, Hit | None]], min_duration_s: float, max_gap_s: float) -> list[Episode]:
    """Cut the hits where a gap is too long; a piece that lasts is a violation."""
    pieces: list[list[tuple[float, Hit]]] = []
    for time_s, hit in observed:
        if hit is None:
            continue
        if not pieces or time_s - pieces[-1][-1][0] > max_gap_s:
            pieces.append([])
        pieces[-1].append((time_s, hit))
    return [
        Episode(piece[0][0], piece[-1][0], max(hit.score for _, hit in piece))
        for piece in pieces
        if piece[-1][0] - piece[0][0] >= min_duration_s
    ]


def run(
    observed: list[tuple[float, Hit | None]], min_duration_s: float, max_gap_s: float, crash: bool = False
) -> list[Episode]:
    """Drive the machine as its callers do, giving every violation an id; `crash` loses all but the encoded state."""
    state, found = IDLE, []

    def take(transitions: list[Transition]) -> None:
        for transition in transitions:
            if isinstance(transition, Opened):
                found.append(Episode(transition.started_s, -1, transition.hit.score))
                assert transition.violation_id == str(len(found))
            elif isinstance(transition, Closed):
                assert transition.violation_id == str(len(found))
                found[-1].ended_s, found[-1].peak = transition.ended_s, transition.best.score

    for time_s, hit in observed:
        if crash:
            state = msgspec.json.decode(msgspec.json.encode(state), type=EpisodeState)
        state, transitions = advance(
            state,
            time_s,
            hit,
            min_duration_s=min_duration_s,
            max_gap_s=max_gap_s,
            new_id=lambda: str(len(found) + 1),
        )
        assert [type(t) for t in transitions] in ([], [Opened], [Updated], [Closed], [Closed, Opened])
        take(transitions)
    state, transitions = finish(state)
    take(transitions)
    assert state == IDLE
    return found


@given(frames=Frames, limits=Limits)
def test_a_violation_is_a_run_of_hits_that_lasts(frames, limits):
    observed, (min_duration_s, max_gap_s) = hits_of(frames), (limits[0] / 8, limits[1] / 8)
    assert run(observed, min_duration_s, max_gap_s) == by_definition(observed, min_duration_s, max_gap_s)


@given(
    frames=st.lists(st.tuples(st.integers(1, 4), st.none() | st.integers(0, 100)), max_size=80),
    limits=Limits,
    share=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_of_the_frames_before_a_violation_opens_the_share_asked_for_hits(frames, limits, share):
    observed, (min_duration_s, max_gap_s) = hits_of(frames), (limits[0] / 8, limits[1] / 8)
    state = IDLE
    for time_s, hit in observed:
        state, transitions = advance(
            state,
            time_s,
            hit,
            min_duration_s=min_duration_s,
            max_gap_s=max_gap_s,
            new_id=lambda: "v",
            least_share=share,
        )
        for opened in transitions:
            if isinstance(opened, Opened):
                seen = [hit is not None for t, hit in observed if opened.started_s <= t <= time_s]
                assert sum(seen) >= share * len(seen)


@given(frames=Frames, limits=Limits)
def test_a_crash_after_any_frame_changes_nothing(frames, limits):
    observed, (min_duration_s, max_gap_s) = hits_of(frames), (limits[0] / 8, limits[1] / 8)
    assert run(observed, min_duration_s, max_gap_s, crash=True) == run(observed, min_duration_s, max_gap_s)


@given(frames=Frames, limits=Limits, blind=st.sets(st.integers(0, 79)))
def test_a_frame_that_never_came_says_no_more_than_one_without_a_hit(frames, limits, blind):
    observed, (min_duration_s, max_gap_s) = hits_of(frames), (limits[0] / 8, limits[1] / 8)
    seen = [frame for i, frame in enumerate(observed) if i not in blind]
    nothing_there = [(time_s, None if i in blind else hit) for i, (time_s, hit) in enumerate(observed)]
    assert run(seen, min_duration_s, max_gap_s) == run(nothing_there, min_duration_s, max_gap_s)


def a_hit(score: float = 0.5) -> Hit:
    return Hit("person", score, (0.0, 0.0, 1.0, 1.0))


def step(state: EpisodeState, time_s: float, hit: Hit | None, min_duration_s: float = 0.0, blind_s: float = 0.0):
    return advance(
        state, time_s, hit, min_duration_s=min_duration_s, max_gap_s=2.0, new_id=lambda: "v", blind_s=blind_s
    )


def test_a_violation_opens_with_the_first_hit_that_reaches_the_duration():
    state, transitions = step(IDLE, 10.0, a_hit(0.9), 1.0)
    assert (state.phase, transitions) == (Phase.CANDIDATE, [])
    state, transitions = step(state, 10.5, a_hit(), 1.0)
    assert transitions == []
    state, transitions = step(state, 11.0, a_hit(), 1.0)
    assert state.phase is Phase.OPEN
    assert transitions == [Opened("v", 10.0, a_hit())]
    assert finish(state)[1] == [Closed("v", 11.0, a_hit(0.9))]


def test_blind_time_does_not_close_a_violation_before_its_gap_window_has_passed_and_is_told():
    state, _ = step(IDLE, 0.0, a_hit())
    state, transitions = step(state, 2.0, None, blind_s=1.5)
    assert (state.phase, transitions) == (Phase.OPEN, [])
    state, transitions = step(state, 2.125, None)
    assert state == IDLE
    assert transitions == [Closed("v", 0.0, a_hit(), blind_s=1.5)]


def test_a_hit_after_the_gap_window_ends_one_violation_and_begins_another():
    state, _ = step(IDLE, 0.0, a_hit())
    _, transitions = step(state, 5.0, a_hit())
    assert transitions == [Closed("v", 0.0, a_hit()), Opened("v", 5.0, a_hit())]


def test_a_clearly_better_view_updates_an_open_violation_but_not_every_frame():
    state, _ = step(IDLE, 0.0, a_hit(0.5))
    state, transitions = step(state, 0.5, a_hit(0.6))
    assert transitions == []
    state, transitions = step(state, 1.0, a_hit(0.62))
    assert transitions == [Updated("v", a_hit(0.62))]
    state, transitions = step(state, 2.5, a_hit(0.65))
    assert transitions == []
    assert finish(state)[1] == [Closed("v", 2.5, a_hit(0.65))]


@given(scores=st.lists(st.integers(1, 100), min_size=1, max_size=40), step_s=st.sampled_from([0.1, 0.2, 0.5, 2.0]))
def test_the_frame_told_of_is_nearly_the_best_however_soon_it_came(scores, step_s):
    state, told, at_once = IDLE, 0.0, 0
    for k, score in enumerate(scores):
        before_s = state.told_s
        state, transitions = step(state, k * step_s, a_hit(score / 100))
        for each in transitions:
            assert isinstance(each, Opened | Updated)
            told = each.hit.score
            at_once += isinstance(each, Updated) and k * step_s - before_s < UPDATE_EVERY_S
        assert told >= max(scores[: k + 1]) / 100 - LEAP - 1e-9
    assert at_once <= 1 / LEAP
