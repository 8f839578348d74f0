"""Domain values to table rows, and back."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from piccolo.columns import Column

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.event import Event
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import Violation, ViolationUpdated
from gateway.errors import NotFoundError

Row = dict[str, Any]
Changes = dict[Column | str, Any]

_VIOLATION_JSON = ("box", "resolution_wh", "zone", "evidence", "clean_evidence", "clip")
_CAMERA_SETTINGS = ("name", "url", "model", "fps", "priority", "clip_before_s", "clip_after_s", "masks", "enabled")
_RULE_SETTINGS = ("name", "definition", "severity", "enabled")
_encode = msgspec.json.Encoder().encode
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def camera_columns(settings: CameraSettings) -> Row:
    """The columns of a camera that its settings decide."""
    return msgspec.structs.asdict(settings) | {"masks": json_text(settings.masks)}


def camera_of(row: Row) -> Camera:
    """The camera of a row."""
    settings = {name: row[name] for name in _CAMERA_SETTINGS} | {"masks": msgspec.json.decode(row["masks"])}
    kept = msgspec.convert(settings, CameraSettings)
    return Camera(id=row["id"], settings=kept, created_at=row["created_at"], updated_at=row["updated_at"])


def rule_columns(settings: RuleSettings) -> Row:
    """The columns of a rule that its settings decide."""
    return msgspec.structs.asdict(settings) | {
        "definition": json_text(settings.definition),
        "severity": settings.severity.value,
    }


def rule_of(row: Row) -> Rule:
    """The rule of a row."""
    settings = {name: row[name] for name in _RULE_SETTINGS} | {"definition": msgspec.json.decode(row["definition"])}
    return Rule(
        id=row["id"],
        camera_id=row["camera_id"],
        revision=row["revision"],
        settings=msgspec.convert(settings, RuleSettings),
    )


def violation_columns(violation: Violation, epoch: int = 0) -> Row:
    """All columns of a violation that an owner of this epoch recorded.

    U+0000, which PostgreSQL's text can't hold, becomes U+FFFD: a label must not keep the spool from draining.
    """
    columns = msgspec.structs.asdict(violation)
    for name in _VIOLATION_JSON:
        columns[name] = json_text(columns[name])
    for name, value in columns.items():
        if isinstance(value, str) and "\0" in value:
            columns[name] = without_nul(value)
    return columns | {"epoch": epoch}


def update_columns(update: ViolationUpdated) -> Row:
    """The columns of a violation that a better frame changes, and its id; fewer where there is no sighting."""
    columns: Row = {
        "id": update.id,
        "score": update.score,
        "frame_index": update.frame_index,
        "frame_at": update.frame_at,
        "pts_s": update.pts_s,
        "blind_seconds": update.blind_seconds,
        "updated_at": update.at,
        "label": without_nul(update.label),
        "box": json_text(update.box),
        "evidence": json_text(update.evidence),
        "clean_evidence": json_text(update.clean_evidence),
    }
    if update.sighting is None:
        return columns
    sighting = msgspec.structs.asdict(update.sighting)
    for name in ("model", "model_version", "model_sha256", "runtime_id"):
        sighting[name] = without_nul(sighting[name])
    return columns | sighting | {"resolution_wh": json_text(update.sighting.resolution_wh)}


def violation_of(row: Row) -> Violation:
    """The violation of a row."""
    nested = {name: msgspec.json.decode(row[name]) for name in _VIOLATION_JSON}
    return msgspec.convert(row | nested, Violation)


def event_of(row: Row) -> Event:
    """The event of a row."""
    return msgspec.convert(row | {"payload": msgspec.Raw(row["payload"])}, Event)


def without_nul(text: str) -> str:
    """A text as PostgreSQL can hold it."""
    return text.replace("\0", _REPLACEMENT)


def json_text(value: object) -> str:
    """A value as JSON text that PostgreSQL can turn into text again: U+0000 becomes U+FFFD."""
    text = _encode(value).decode()
    return _ESCAPED_NUL.sub(r"\1\\ufffd", text) if r"\u0000" in text else text


def only_row(rows: Sequence[Row], noun: str, row_id: str) -> Row:
    """The row that was asked for by its id.

    Raises:
        NotFoundError: There is none.
    """
    if not rows:
        raise NotFoundError(f"there is no {noun} {row_id}")
    return rows[0]
