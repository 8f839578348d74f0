"""The tables. A change here needs a migration in `piccolo_migrations/`."""

from piccolo.columns import (
    JSON,
    BigInt,
    BigSerial,
    Boolean,
    DoublePrecision,
    ForeignKey,
    Integer,
    OnDelete,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.table import Table

from gateway.domain.violation import NO_EVIDENCE
from gateway.store.rows import json_text

ID_LENGTH = 64
"""Room for a UUID's 36 characters; ids are text, so that any id a caller sends can be compared."""

_NO_EVIDENCE = json_text(NO_EVIDENCE)


class CameraRow(Table, tablename="camera"):
    """A camera as configured."""

    id = Varchar(length=ID_LENGTH, primary_key=True)
    name = Text()
    url = Text()
    model = Text()
    fps = DoublePrecision()
    priority = Integer(default=5)
    clip_before_s = DoublePrecision(default=5.0)
    clip_after_s = DoublePrecision(default=5.0)
    masks = JSON(default="[]")
    enabled = Boolean(default=True)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class RuleRow(Table, tablename="rule"):
    """A rule of a camera; goes when the camera goes."""

    id = Varchar(length=ID_LENGTH, primary_key=True)
    camera_id = ForeignKey(CameraRow, on_delete=OnDelete.cascade, null=False, index=True)
    revision = Integer(default=1)
    name = Text()
    definition = JSON()
    severity = Text()
    enabled = Boolean(default=True)


class ViolationRow(Table, tablename="violation"):
    """A violation; stays when its camera or rule goes, so that nothing is referenced.

    `epoch` is that of the camera's owner who recorded it, `cut_off` whether it only ended as that one lost the camera.
    """

    id = Varchar(length=ID_LENGTH, primary_key=True)
    camera_id = Varchar(length=ID_LENGTH)
    rule_id = Varchar(length=ID_LENGTH)
    rule_revision = Integer()
    rule_name = Text()
    type = Text()
    severity = Text()
    status = Text(index=True)
    started_at = Timestamptz(index=True)
    ended_at = Timestamptz(null=True, default=None)
    label = Text()
    score = DoublePrecision()
    box = JSON()
    resolution_wh = JSON()
    zone = JSON()
    track_id = BigInt(null=True, default=None)
    frame_index = BigInt()
    frame_at = Timestamptz(null=True, default=None)
    pts_s = DoublePrecision(null=True, default=None)
    blind_seconds = DoublePrecision(default=0.0)
    model = Text()
    model_version = Text()
    model_sha256 = Text()
    runtime_id = Text()
    latency_ms = DoublePrecision()
    evidence = JSON()
    clean_evidence = Text(default=_NO_EVIDENCE)  # JSON, as `clip`; text, as PostgreSQL compares no JSON
    clip = Text(default=_NO_EVIDENCE)
    evidence_deleted_at = Timestamptz(null=True, default=None)
    note = Text()
    epoch = BigInt(default=0)
    cut_off = Boolean(default=False)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class TwinRow(Table, tablename="violation_twin"):
    """An id under which a replica recorded a part of an episode that is on record as another violation."""

    id = Varchar(length=ID_LENGTH, primary_key=True)
    violation_id = Varchar(length=ID_LENGTH, index=True)


class ReplicaRow(Table, tablename="replica"):
    """A gateway that lives until a time of the database's clock; `instance` tells its lives apart."""

    name = Text(primary_key=True)
    instance = Text()
    held_until = Timestamptz()


class LeaseRow(Table, tablename="camera_lease"):
    """Who has a camera: nobody, once its replica's row is gone. Outlives the camera until its episodes are ended."""

    camera_id = Varchar(length=ID_LENGTH, primary_key=True)
    owner = ForeignKey(ReplicaRow, on_delete=OnDelete.set_null, null=True, default=None, index=True)
    epoch = BigInt(default=0)
    states = Text(default="{}")  # JSON: states of the camera's rules, by rule id, themselves as text


class DisposalRow(Table, tablename="evidence_disposal"):
    """Where evidence lies that a violation names no more; goes when the files are deleted."""

    violation_id = Varchar(length=ID_LENGTH, primary_key=True)
    places = Text(default="[]")  # JSON


class AuditRow(Table, tablename="violation_audit"):
    """What was done with a violation, by whom. The database refuses to change or delete a row."""

    number = BigSerial(primary_key=True)
    violation_id = Varchar(length=ID_LENGTH, index=True)
    at = Timestamptz()
    actor = Text()
    action = Text()
    note = Text()


class OutboxRow(Table, tablename="outbox"):
    """An event, written with what it tells of. Trimming must leave the newest row: SQLite counts on from it."""

    number = BigSerial(primary_key=True)
    type = Text()
    camera_id = Varchar(length=ID_LENGTH)
    at = Timestamptz()
    payload = JSON()


class WebhookRow(Table, tablename="webhook"):
    """Somebody who is sent events; `cursor` is the number of the last event that is done with."""

    id = Varchar(length=ID_LENGTH, primary_key=True)
    url = Text()
    secret = Text(secret=True)
    types = Text(default="[]")  # JSON
    camera_ids = Text(default="[]")  # JSON
    enabled = Boolean(default=True)
    cursor = BigInt(default=0)
    last_error = Text()
    holder = Text()
    held_until = Timestamptz(null=True, default=None)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class DeadLetterRow(Table, tablename="dead_letter"):
    """An event that a webhook could not be told; goes when the webhook goes."""

    number = BigSerial(primary_key=True)
    webhook_id = ForeignKey(WebhookRow, on_delete=OnDelete.cascade, null=False, index=True)
    event = Text()  # JSON
    attempts = Integer()
    reason = Text()
    at = Timestamptz()


class CursorRow(Table, tablename="outbox_cursor"):
    """A place in the outbox: `number` is that of the last event that somebody is done with, or that was trimmed."""

    name = Varchar(length=ID_LENGTH, primary_key=True)
    number = BigInt(default=0)
    holder = Text()
    held_until = Timestamptz(null=True, default=None)
    updated_at = Timestamptz()


TABLES: tuple[type[Table], ...] = (
    CameraRow,
    RuleRow,
    ViolationRow,
    TwinRow,
    ReplicaRow,
    LeaseRow,
    DisposalRow,
    AuditRow,
    OutboxRow,
    WebhookRow,
    DeadLetterRow,
    CursorRow,
)
