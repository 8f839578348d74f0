"""The database."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.event import Event, GrantChanged
from gateway.domain.lease import CameraStates, Look, Taken
from gateway.domain.retention import EvidenceQuery
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import AuditEntry, Violation, ViolationPatch, ViolationQuery, ViolationRecord
from gateway.domain.webhook import DeadLetter, Webhook, WebhookSettings


class Store(Protocol):
    """The record: cameras, rules, violations, outbox. Every method may raise `DatabaseError`."""

    async def ping(self) -> None:
        """Ask the database for an answer."""
        ...

    async def create_camera(self, settings: CameraSettings) -> Camera:
        """Put a camera on record."""
        ...

    async def update_camera(self, camera_id: str, settings: CameraSettings) -> Camera:
        """Replace a camera's settings; `NotFoundError` if there is none."""
        ...

    async def delete_camera(self, camera_id: str) -> None:
        """Remove a camera and its rules; its violations stay. `NotFoundError` if there is none."""
        ...

    async def camera(self, camera_id: str) -> Camera:
        """One camera; `NotFoundError` if there is none."""
        ...

    async def cameras(self) -> Sequence[Camera]:
        """All cameras, oldest first."""
        ...

    async def create_rule(self, camera_id: str, settings: RuleSettings) -> Rule:
        """Give a camera a rule; `NotFoundError` if there is no such camera."""
        ...

    async def update_rule(self, camera_id: str, rule_id: str, settings: RuleSettings) -> Rule:
        """Replace a rule's settings and raise its revision; `NotFoundError` if there is none."""
        ...

    async def delete_rule(self, camera_id: str, rule_id: str) -> None:
        """Remove a rule; its violations stay. `NotFoundError` if there is none."""
        ...

    async def rule(self, camera_id: str, rule_id: str) -> Rule:
        """One rule; `NotFoundError` if there is none."""
        ...

    async def rules(self, camera_id: str | None = None) -> Sequence[Rule]:
        """A camera's rules, or all rules, oldest first."""
        ...

    async def apply(self, records: Sequence[ViolationRecord], states: Sequence[CameraStates] = ()) -> Sequence[Event]:
        """Write spooled records, their outbox events and rule states in one transaction; harmless when repeated.

        What was seen is always taken. What only the owner of a camera may say (the states of its rules, and how a
        violation goes on that they hold) has no effect under an older epoch than the owner's.

        Returns:
            The events that this call wrote, in order; a record that was there already gives none.
        """
        ...

    async def patch_violation(self, violation_id: str, patch: ViolationPatch) -> tuple[Violation, Event]:
        """Change what a person may change, and write the event; `NotFoundError` if there is none.

        The id of a twin, under which another replica recorded a part of the violation, does as well.
        """
        ...

    async def record_grants(self, changes: Sequence[GrantChanged]) -> Sequence[Event]:
        """Write changed grants as outbox events; the events, in order."""
        ...

    async def violation(self, violation_id: str) -> Violation:
        """One violation, also by the id of a twin; `NotFoundError` if there is none."""
        ...

    async def audit(self, violation_id: str) -> Sequence[AuditEntry]:
        """What was done with a violation by whom, oldest first; empty if there is none."""
        ...

    async def violations(self, query: ViolationQuery) -> Sequence[Violation]:
        """Violations, newest first (by id, which grows with time)."""
        ...

    async def count_by_status(self) -> Mapping[str, int]:
        """Number of violations in each status that occurs."""
        ...

    async def evidence_kept(self, query: EvidenceQuery) -> Sequence[Violation]:
        """Violations whose evidence may go: handled by somebody and over, oldest first."""
        ...

    async def twin_ids(self, violation_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The ids of each violation's twins, where it has any: their evidence lies under these."""
        ...

    async def cameras_with_evidence(self) -> Sequence[str]:
        """Ids of the cameras, still there or not, that have violations with evidence."""
        ...

    async def forget_evidence(self, violation_ids: Sequence[str], reason: str) -> Sequence[Event]:
        """Note that evidence is deleted, and why, of those that are still handled and over; the events, in order.

        Where it lies is kept in the same transaction, for `evidence_forgotten`.
        """
        ...

    async def evidence_forgotten(self) -> Mapping[str, Sequence[str]]:
        """By violation: the files and folders, there or not, that are to be deleted and aren't known to be."""
        ...

    async def note_deleted(self, violation_ids: Sequence[str]) -> None:
        """Their files and folders are deleted."""
        ...

    async def trim_events(self, before: dt.datetime, limit: int) -> int:
        """Delete the oldest events of before a time, `limit` at most, never the newest of all; how many.

        Whoever goes on from before them is told, by `events_missed`.
        """
        ...

    async def trim_dead_letters(self, before: dt.datetime, limit: int) -> int:
        """Delete the oldest dead letters of before a time, of all webhooks, `limit` at most; how many."""
        ...

    async def events_missed(self, after: int, before: int) -> Event | None:
        """Tells of events between two numbers that were trimmed; None where none was."""
        ...

    async def events_after(self, number: int, limit: int) -> Sequence[Event]:
        """Outbox events with a greater number, oldest first."""
        ...

    async def last_event_number(self) -> int:
        """Number of the newest event; 0 when there is none."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class CameraLeases(Protocol):
    """Which replica has which camera. Every method may raise `DatabaseError`."""

    async def look(self) -> Look:
        """Say that this replica lives, let go of those that don't, and see who has what.

        Raises:
            ConfigurationError: Another gateway has this one's name.
        """
        ...

    async def take(self, known: Mapping[str, int]) -> Sequence[Taken]:
        """Take cameras that nobody has, or that were this replica's in an earlier life.

        Args:
            known: Cameras to take, and under which epoch the spool knows each; 0 where it doesn't.

        Returns:
            Those that were got: another replica may have been faster.
        """
        ...

    async def release(self, camera_id: str, epoch: int) -> None:
        """Give a camera up, for another replica to take; nothing happens where it isn't this replica's."""
        ...

    async def forget(self, camera_id: str, epoch: int) -> None:
        """A deleted camera's episodes have been ended."""
        ...

    async def leave(self) -> None:
        """Give everything up at once: this replica ends."""
        ...


class WebhookStore(Protocol):
    """Webhooks on record. Every method may raise `DatabaseError`; `NotFoundError` where what is named isn't there."""

    async def create(self, settings: WebhookSettings) -> Webhook:
        """Put a webhook on record; it is sent what happens from now on."""
        ...

    async def update(self, webhook_id: str, settings: WebhookSettings) -> Webhook:
        """Replace its settings."""
        ...

    async def delete(self, webhook_id: str) -> None:
        """Remove it and its dead letters."""
        ...

    async def webhook(self, webhook_id: str) -> Webhook:
        """One webhook."""
        ...

    async def webhooks(self) -> Sequence[Webhook]:
        """All of them, oldest first."""
        ...

    async def hold(self, webhook_id: str, holder: str) -> bool:
        """Take or keep the right to send for 30 s; False while another replica has it."""
        ...

    async def release(self, holder: str) -> None:
        """Give up the right to send to any of them."""
        ...

    async def advance(self, webhook_id: str, cursor: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        ...

    async def note_failure(self, webhook_id: str, reason: str) -> None:
        """Keep why an attempt failed."""
        ...

    async def bury(self, webhook_id: str, event: Event, attempts: int, reason: str) -> None:
        """Give an event up: it becomes a dead letter and the cursor passes it, in one transaction."""
        ...

    async def dead_letters(self, webhook_id: str, after: int, limit: int) -> Sequence[DeadLetter]:
        """Those with a greater number, oldest first."""
        ...

    async def dead_letter(self, webhook_id: str, number: int) -> DeadLetter:
        """One of them."""
        ...

    async def drop_dead_letter(self, webhook_id: str, number: int) -> None:
        """Remove one."""
        ...


class CursorStore(Protocol):
    """How far each way of sending events has come in the outbox. Every method may raise `DatabaseError`."""

    async def hold(self, name: str, holder: str) -> int | None:
        """Take or keep the right to send for 30 s; the number of the last event that is done with.

        None while another replica has it. A name that is new begins with the next event.
        """
        ...

    async def advance(self, name: str, number: int) -> None:
        """Events up to this one are done with; a cursor never goes back."""
        ...

    async def release(self, holder: str) -> None:
        """Give up the right to send by any of them."""
        ...
