"""The record of something a rule forbids."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.domain.rule import Severity

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in source pixels."""


class ViolationStatus(StrEnum):
    """Where the handling of a violation stands; set by people, not by the rules."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A file that shows the violation.

    Attributes:
        name: File name in the evidence store; empty when there is none.
        sha256: Hash of the file.
        missing_reason: Why there is no file, or what of it is missing; never faked.
    """

    name: str = ""
    sha256: str = ""
    missing_reason: str = ""

    @property
    def is_awaited(self) -> bool:
        """Whether the file is still being made."""
        return self.missing_reason.startswith(BEING_RECORDED)


BEING_RECORDED = "being recorded"
"""How the reason of a file begins that isn't there yet."""

NO_EVIDENCE = Evidence(missing_reason="the gateway that recorded this kept none")


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One episode of a rule being broken, however long it lasts.

    Attributes:
        id: UUIDv7, given once when the violation is spooled.
        camera_id: Where.
        rule_id: Which rule was broken.
        rule_revision: As it stood then.
        rule_name: Its name then.
        type: Type of the rule.
        severity: Severity of the rule.
        status: Where its handling stands.
        started_at: Frame time of the first frame of the episode.
        ended_at: Frame time of its last hit; None while it goes on.
        label: Class of the object that violates, in the best frame so far: at first the one that opened it.
        score: Its score, 0..1; once ended, the peak of the episode.
        box: Its x1, y1, x2, y2 in source pixels, as drawn in the evidence.
        resolution_wh: Width and height of the source picture.
        zone: The zone's corners as fractions of the picture.
        track_id: The followed object; None where the rule follows none.
        frame_index: Number of that frame.
        frame_at: Its frame time; None where an older gateway recorded it.
        pts_s: Its presentation time in the camera's stream, seconds from the stream's first frame; None likewise.
        blind_seconds: Seconds of the episode in which nobody looked.
        model: Model that saw it.
        model_version: Its version.
        model_sha256: Hash of its file.
        runtime_id: Runtime that ran it.
        latency_ms: From the frame's arrival in the gateway to its detections.
        evidence: The best frame, zone and boxes drawn.
        clean_evidence: The best frame as it came.
        clip: What the camera showed around the beginning.
        note: What a person wrote about it.
        created_at: When it was spooled (wall clock).
        updated_at: When it last changed (wall clock).
    """

    id: str
    camera_id: str
    rule_id: str
    rule_revision: int
    rule_name: str
    type: str
    severity: Severity
    status: ViolationStatus = ViolationStatus.OPEN
    started_at: dt.datetime
    ended_at: dt.datetime | None = None
    label: str
    score: float
    box: Box
    resolution_wh: tuple[int, int]
    zone: tuple[tuple[float, float], ...]
    track_id: int | None = None
    frame_index: int
    frame_at: dt.datetime | None = None
    pts_s: float | None = None
    blind_seconds: float = 0.0
    model: str
    model_version: str
    model_sha256: str
    runtime_id: str
    latency_ms: float
    evidence: Evidence
    clean_evidence: Evidence = NO_EVIDENCE
    clip: Evidence = NO_EVIDENCE
    note: str = ""
    created_at: dt.datetime
    updated_at: dt.datetime


class ViolationClosed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """An open violation's episode has ended; refers to it by id.

    Attributes:
        cut_off: It may go on: its replica lost the camera, and saw no more of it.
        epoch: Of the camera's owner that saw it, see `gateway.domain.lease`.
    """

    id: str
    ended_at: dt.datetime
    score: float
    blind_seconds: float = 0.0
    at: dt.datetime
    cut_off: bool = False
    epoch: int = 0


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame was, and what looked at it; attributes as of `Violation`."""

    resolution_wh: tuple[int, int]
    track_id: int | None
    model: str
    model_version: str
    model_sha256: str
    runtime_id: str
    latency_ms: float


class ViolationUpdated(msgspec.Struct, frozen=True, kw_only=True, tag="updated"):
    """A frame shows an open violation better than any before; attributes as of `Violation` and `ViolationClosed`.

    Attributes:
        sighting: None where an older gateway recorded it.
    """

    id: str
    label: str
    score: float
    box: Box
    frame_index: int
    frame_at: dt.datetime
    pts_s: float
    blind_seconds: float
    evidence: Evidence
    clean_evidence: Evidence
    sighting: Sighting | None = None
    at: dt.datetime
    epoch: int = 0


class ClipTaken(msgspec.Struct, frozen=True, kw_only=True, tag="clip"):
    """A violation's clip is complete, or it is known why there is none."""

    id: str
    clip: Evidence
    at: dt.datetime


class ViolationOpened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """A violation was detected, under the epoch of its camera's owner."""

    violation: Violation
    epoch: int = 0


ViolationRecord = ViolationOpened | ViolationUpdated | ViolationClosed | ClipTaken
"""What the spool keeps until the database has it."""


def evidence_folder(violation_id: str) -> str:
    """Where all evidence of a violation lies in the evidence store: `YYYY/MM/DD/<id>`, by the time in its UUIDv7.

    The first 48 bits are Unix time in milliseconds (RFC 9562, section 5.7).
    """
    made_at = dt.datetime.fromtimestamp((uuid.UUID(violation_id).int >> 80) / 1000, dt.UTC)
    return f"{made_at:%Y/%m/%d}/{violation_id}"


def evidence_places(violation: Violation, twin_ids: Sequence[str] = ()) -> list[str]:
    """Every file and folder in which a violation may have evidence: those it names, its own, and its twins'."""
    named = [kept.name for kept in (violation.evidence, violation.clean_evidence, violation.clip) if kept.name]
    return [*named, *(evidence_folder(violation_id) for violation_id in (violation.id, *twin_ids))]


class ViolationPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may change.

    Attributes:
        status: Where its handling stands now.
        note: Replaces the note; the audit keeps the earlier ones.
        by: The person's name, for the audit.
    """

    status: ViolationStatus | msgspec.UnsetType = msgspec.UNSET
    note: Annotated[str, msgspec.Meta(max_length=4000)] | msgspec.UnsetType = msgspec.UNSET
    by: Annotated[str, msgspec.Meta(max_length=200)] = ""


class AuditAction(StrEnum):
    """What was done with a violation. `dismissed`: it was a false positive; `merged`: two replicas saw parts of it."""

    CREATED = "created"
    REOPENED = "reopened"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"
    NOTED = "noted"
    EVIDENCE_DELETED = "evidence_deleted"
    MERGED = "merged"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what when; written once, never changed.

    Attributes:
        at: When (wall clock).
        actor: Who: a person's name, the address of a caller who gave none, or a part of the gateway.
        action: What.
        note: In their words.
    """

    at: dt.datetime
    actor: str
    action: AuditAction
    note: str = ""


AUDIT_ACTIONS: Mapping[ViolationStatus, AuditAction] = {
    ViolationStatus.OPEN: AuditAction.REOPENED,
    ViolationStatus.ACKNOWLEDGED: AuditAction.ACKNOWLEDGED,
    ViolationStatus.RESOLVED: AuditAction.RESOLVED,
    ViolationStatus.DISMISSED: AuditAction.DISMISSED,
}
"""What it is called to set a status."""


class ViolationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which violations to list, newest first.

    Attributes:
        camera_id: Only this camera's.
        type: Only of this rule type.
        status: Only in this status.
        started_from: Started at or after this time.
        started_to: Started before this time.
        ongoing: Only those that go on.
        before_id: Only those that come after this one in the list: the cursor.
        limit: At most so many, 1..500.
    """

    camera_id: str | None = None
    type: str | None = None
    status: ViolationStatus | None = None
    started_from: dt.datetime | None = None
    started_to: dt.datetime | None = None
    ongoing: bool = False
    before_id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
