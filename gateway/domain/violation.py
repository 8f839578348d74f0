"""The record of something a rule forbids."""

import datetime as dt
from enum import StrEnum
from typing import Annotated

import msgspec

from gateway.domain.rule import Severity


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
        missing_reason: Why there is no file; never faked.
    """

    name: str = ""
    sha256: str = ""
    missing_reason: str = ""


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
        label: Class of the best object in the frame that opened it.
        score: Its score, 0..1; once ended, the peak of the episode.
        box: Its x1, y1, x2, y2 in source pixels, as drawn in the evidence.
        resolution_wh: Width and height of the source picture.
        zone: The zone's corners as fractions of the picture.
        track_id: The followed object; None where the rule follows none.
        frame_index: Frame that opened the violation.
        model: Model that saw it.
        model_version: Its version.
        model_sha256: Hash of its file.
        runtime_id: Runtime that ran it.
        latency_ms: From the frame's arrival in the gateway to its detections.
        evidence: The picture.
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
    box: tuple[float, float, float, float]
    resolution_wh: tuple[int, int]
    zone: tuple[tuple[float, float], ...]
    track_id: int | None = None
    frame_index: int
    model: str
    model_version: str
    model_sha256: str
    runtime_id: str
    latency_ms: float
    evidence: Evidence
    note: str = ""
    created_at: dt.datetime
    updated_at: dt.datetime


class ViolationClosed(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """An open violation's episode has ended; refers to it by id."""

    id: str
    ended_at: dt.datetime
    score: float
    at: dt.datetime


class ViolationOpened(msgspec.Struct, frozen=True, kw_only=True, tag="opened"):
    """A violation was detected."""

    violation: Violation


ViolationRecord = ViolationOpened | ViolationClosed
"""What the spool keeps until the database has it."""


class ViolationPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person may change."""

    status: ViolationStatus | msgspec.UnsetType = msgspec.UNSET
    note: Annotated[str, msgspec.Meta(max_length=4000)] | msgspec.UnsetType = msgspec.UNSET


class ViolationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which violations to list, newest first.

    Attributes:
        camera_id: Only this camera's.
        type: Only of this rule type.
        status: Only in this status.
        started_from: Started at or after this time.
        started_to: Started before this time.
        before_id: Only those that come after this one in the list: the cursor.
        limit: At most so many, 1..500.
    """

    camera_id: str | None = None
    type: str | None = None
    status: ViolationStatus | None = None
    started_from: dt.datetime | None = None
    started_to: dt.datetime | None = None
    before_id: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
