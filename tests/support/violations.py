"""Violations to keep."""

import datetime as dt

import uuid_utils

from gateway.domain.definitions import WHOLE_PICTURE
from gateway.domain.rule import Severity
from gateway.domain.violation import (
    ClipTaken,
    Evidence,
    Sighting,
    Violation,
    ViolationClosed,
    ViolationOpened,
    ViolationUpdated,
)

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 123000, dt.UTC)


def a_violation(**changes: object) -> Violation:
    """A violation with a new id, every optional field filled."""
    fields: dict[str, object] = {
        "id": str(uuid_utils.uuid7()),
        "camera_id": "camera-1",
        "rule_id": "rule-1",
        "rule_revision": 3,
        "rule_name": "Nobody in the yard",
        "type": "zone_presence",
        "severity": Severity.HIGH,
        "started_at": NOON,
        "label": "person",
        "score": 0.8125,
        "box": (10.5, 20.25, 110.0, 220.1),
        "resolution_wh": (1280, 720),
        "zone": WHOLE_PICTURE,
        "track_id": 7,
        "frame_index": 4_000_000_000,
        "frame_at": NOON + dt.timedelta(seconds=1),
        "pts_s": 1.5,
        "blind_seconds": 0.25,
        "model": "people",
        "model_version": "1",
        "model_sha256": "ab" * 32,
        "runtime_id": "runtime-1",
        "latency_ms": 12.7,
        "evidence": Evidence(name="a/b.jpg", sha256="cd" * 32),
        "clean_evidence": Evidence(name="a/b-clean.jpg", sha256="ce" * 32),
        "clip": Evidence(missing_reason="it isn't over yet"),
        "note": "",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Violation(**(fields | changes))  # type: ignore[arg-type]


def opened(**changes: object) -> ViolationOpened:
    """A record of a new violation."""
    return ViolationOpened(violation=a_violation(**changes))


def closed(violation: Violation, after_s: float = 5.0, score: float = 0.9) -> ViolationClosed:
    """The record of a violation's end."""
    end = violation.started_at + dt.timedelta(seconds=after_s)
    return ViolationClosed(id=violation.id, ended_at=end, score=score, at=end + dt.timedelta(seconds=1))


def updated(violation: Violation, after_s: float = 2.0, score: float = 0.95) -> ViolationUpdated:
    """The record of a frame that shows a violation better."""
    return ViolationUpdated(
        id=violation.id,
        label="person",
        score=score,
        box=(1.0, 2.0, 3.0, 4.0),
        frame_index=violation.frame_index + 1,
        frame_at=NOON + dt.timedelta(seconds=after_s),
        pts_s=after_s,
        blind_seconds=1.25,
        evidence=Evidence(name="a/c.jpg", sha256="12" * 32),
        clean_evidence=Evidence(name="a/c-clean.jpg", sha256="34" * 32),
        sighting=Sighting(
            resolution_wh=(1920, 1080),
            track_id=8,
            model="people-large",
            model_version="2",
            model_sha256="ef" * 32,
            runtime_id="runtime-2",
            latency_ms=20.5,
        ),
        at=NOON + dt.timedelta(seconds=after_s + 1),
    )


def clip_taken(violation: Violation) -> ClipTaken:
    """The record of a violation's clip."""
    return ClipTaken(
        id=violation.id, clip=Evidence(name="a/clip.mp4", sha256="56" * 32), at=NOON + dt.timedelta(seconds=9)
    )
