"""The violations of a clip, and what differs between those on record and those that other rules make of it."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain.definitions import Definition
from gateway.errors import InvalidInputError


class ReplayedViolation(msgspec.Struct, kw_only=True):
    """One violation; times in seconds from the clip's first frame.

    `opened_at_s` is that of the frame that opened it; None where only the record tells of it.
    """

    type: str
    rule: str
    started_at_s: float
    ended_at_s: float
    label: str
    score: float
    track_id: int | None = None
    opened_at_s: float | None = None


class Moved(msgspec.Struct, frozen=True):
    """A violation that both outcomes have, with other times."""

    recorded: ReplayedViolation
    replayed: ReplayedViolation


class OutcomeDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the recorded violations that reach into the clip.

    Attributes:
        same: How many are there again, their times within the tolerance.
        moved: Those that are there again at other times.
        gone: Those that are not.
        new: Those that weren't on record.
    """

    same: int
    moved: tuple[Moved, ...] = ()
    gone: tuple[ReplayedViolation, ...] = ()
    new: tuple[ReplayedViolation, ...] = ()


class _RecordedViolation(msgspec.Struct, frozen=True):
    """As the API shows it."""

    camera_id: str
    type: str
    rule_name: str
    started_at: dt.datetime
    ended_at: dt.datetime | None
    label: str
    score: float
    track_id: int | None = None


class _Replayed(msgspec.Struct, frozen=True):
    violations: list[ReplayedViolation]


class _Recorded(msgspec.Struct, frozen=True):
    items: list[_RecordedViolation]
    next_cursor: str | None = None


def read_recorded(content: bytes, clip_started_at: dt.datetime | None) -> list[ReplayedViolation]:
    """Recorded violations, in seconds of the clip.

    Args:
        content: What `ruth-gateway replay --json` printed, or an answer of `GET /api/v1/violations`.
        clip_started_at: When the clip's first frame was taken; needed for the second, whose times are times of day.

    Raises:
        InvalidInputError: It is neither, or the clip's time is needed and missing, or the answer isn't whole or is of
            several cameras.
    """
    try:
        keys = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        if "violations" in keys:
            return msgspec.json.decode(content, type=_Replayed).violations
        answer = msgspec.json.decode(content, type=_Recorded)
    except msgspec.MsgspecError as error:
        raise InvalidInputError(
            f"the recorded violations can't be read: {error}; give what replay --json printed, "
            "or an answer of GET /api/v1/violations"
        ) from error
    _check_answer(answer)
    if clip_started_at is None:
        raise InvalidInputError(
            "these violations have times of day, and the clip doesn't tell its own: "
            "say when it began with --clip-started-at"
        )
    origin = clip_started_at
    return [_of_clip(violation, origin) for violation in answer.items]


def _check_answer(answer: _Recorded) -> None:
    if answer.next_cursor is not None:
        raise InvalidInputError(
            f"these are only the first {len(answer.items)} of more recorded violations: "
            "ask for those around the clip with from=…&to=…, or for a longer page with limit=…"
        )
    if len(cameras := {violation.camera_id for violation in answer.items}) > 1:
        raise InvalidInputError(
            f"these recorded violations are of {len(cameras)} cameras: ask for the clip's own with camera_id=…"
        )


def diff(
    recorded: Sequence[ReplayedViolation],
    replayed: Sequence[ReplayedViolation],
    clip_s: float,
    rules: Mapping[str, Definition],
    tolerance_s: float = 0.5,
) -> OutcomeDiff:
    """Pair violations of the same rule that overlap in time, those most alike first; tracks needn't agree.

    Args:
        recorded: One outcome. What lies outside the clip doesn't count, and of what reaches beyond it only the part
            inside; it isn't gone, nor has its end outside moved, where that part alone can't tell.
        replayed: The other.
        clip_s: Seconds from the clip's first frame to the last that was looked at.
        rules: Of which rule, by its name, each violation replayed is.
        tolerance_s: Beginnings and ends closer than this are the same.
    """
    reaching = [old for old in recorded if old.ended_at_s >= 0 and old.started_at_s <= clip_s]
    recorded = [_inside(old, clip_s) for old in reaching]
    pairs = sorted(
        (-_likeness(old, new), i, k)
        for i, old in enumerate(recorded)
        for k, new in enumerate(replayed)
        if (old.type, old.rule) == (new.type, new.rule) and _overlap_s(old, new) >= 0
    )
    new_of: dict[int, int] = {}
    for _, i, k in pairs:
        if i not in new_of and k not in new_of.values():
            new_of[i] = k
    moved = tuple(
        Moved(recorded[i], replayed[k])
        for i, k in sorted(new_of.items())
        if not _same_times(reaching[i], replayed[k], clip_s, rules.get(replayed[k].rule), tolerance_s)
    )
    return OutcomeDiff(
        same=len(new_of) - len(moved),
        moved=moved,
        gone=tuple(
            recorded[i]
            for i, old in enumerate(reaching)
            if i not in new_of and _can_be_told(old, clip_s, rules.get(old.rule))
        ),
        new=tuple(new for k, new in enumerate(replayed) if k not in new_of.values()),
    )


def _overlap_s(a: ReplayedViolation, b: ReplayedViolation) -> float:
    """Seconds in common; below 0 where there are none."""
    return min(a.ended_at_s, b.ended_at_s) - max(a.started_at_s, b.started_at_s)


def _likeness(a: ReplayedViolation, b: ReplayedViolation) -> float:
    """What two that overlap have in common, as a part of what they span; 1 for two equal moments."""
    span_s = max(a.ended_at_s, b.ended_at_s) - min(a.started_at_s, b.started_at_s)
    return _overlap_s(a, b) / span_s if span_s > 0 else 1.0


def _inside(violation: ReplayedViolation, clip_s: float) -> ReplayedViolation:
    started_at_s, ended_at_s = max(0.0, violation.started_at_s), min(clip_s, violation.ended_at_s)
    return msgspec.structs.replace(violation, started_at_s=started_at_s, ended_at_s=ended_at_s)


def _can_be_told(violation: ReplayedViolation, clip_s: float, rule: Definition | None) -> bool:
    """Whether a clip shows enough of a violation to find it: its beginning and, if not its end, as much as it needs."""
    whole = violation.ended_at_s <= clip_s
    needs_s = 0.0 if rule is None else rule.min_duration_s
    return violation.started_at_s >= 0 and (whole or clip_s - violation.started_at_s >= needs_s)


def _same_times(
    old: ReplayedViolation, new: ReplayedViolation, clip_s: float, rule: Definition | None, tolerance_s: float
) -> bool:
    """Whether two begin and end together; beside the clip's ends a replay may miss as much as is no gap to the rule."""
    inside, gap_s = _inside(old, clip_s), tolerance_s if rule is None else tolerance_s + rule.max_gap_s
    begins_s, ends_s = (gap_s if beyond else tolerance_s for beyond in (old.started_at_s < 0, old.ended_at_s > clip_s))
    began_s, ended_s = abs(inside.started_at_s - new.started_at_s), abs(inside.ended_at_s - new.ended_at_s)
    return began_s <= begins_s and ended_s <= ends_s


def _of_clip(violation: _RecordedViolation, origin: dt.datetime) -> ReplayedViolation:
    started_at_s = (violation.started_at - origin).total_seconds()
    ended_at = violation.ended_at
    return ReplayedViolation(
        type=violation.type,
        rule=violation.rule_name,
        started_at_s=started_at_s,
        ended_at_s=float("inf") if ended_at is None else (ended_at - origin).total_seconds(),
        label=violation.label,
        score=violation.score,
        track_id=violation.track_id,
    )
