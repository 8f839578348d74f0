"""The database behind one object."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Self

from piccolo.querystring import QueryString

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.clock import Clock, SystemClock
from gateway.domain.event import Event, GrantChanged
from gateway.domain.lease import CameraStates
from gateway.domain.retention import EvidenceQuery
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import AuditEntry, Violation, ViolationPatch, ViolationQuery, ViolationRecord
from gateway.store import audit, cameras, disposal, outbox, violations
from gateway.store.apply import apply_records
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine, bind_tables
from gateway.store.postgres_engine import PooledPostgresEngine


class PiccoloStore:
    """Implements `gateway.domain.ports.Store` on SQLite or PostgreSQL; open it with `PiccoloStore.open`.

    A process has one at a time, as Piccolo's tables have one database. Every method may raise `DatabaseError`.
    """

    def __init__(self, engine: DatabaseEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @classmethod
    async def open(cls, engine: DatabaseEngine, clock: Clock | None = None) -> Self:
        """Bind the tables to an engine whose database is migrated, see `gateway.store.migrate`.

        Succeeds while the database is away; the first query will tell.
        """
        bind_tables(engine)
        if isinstance(engine, PooledPostgresEngine):
            await engine.open()
        return cls(engine, clock or SystemClock())

    @property
    def engine(self) -> DatabaseEngine:
        """What the tables are bound to."""
        return self._engine

    @database_call
    async def ping(self) -> None:
        """Ask the database for an answer."""
        await self._engine.run_querystring(QueryString("SELECT 1"))

    async def create_camera(self, settings: CameraSettings) -> Camera:
        """Put a camera on record."""
        return await cameras.create_camera(settings, self._clock.utcnow())

    async def update_camera(self, camera_id: str, settings: CameraSettings) -> Camera:
        """Replace a camera's settings; `NotFoundError` if there is none."""
        return await cameras.update_camera(camera_id, settings, self._clock.utcnow())

    async def delete_camera(self, camera_id: str) -> None:
        """Remove a camera and its rules; its violations stay. `NotFoundError` if there is none."""
        await cameras.delete_camera(camera_id)

    async def camera(self, camera_id: str) -> Camera:
        """One camera; `NotFoundError` if there is none."""
        return await cameras.camera(camera_id)

    async def cameras(self) -> Sequence[Camera]:
        """All cameras, oldest first."""
        return await cameras.cameras()

    async def create_rule(self, camera_id: str, settings: RuleSettings) -> Rule:
        """Give a camera a rule; `NotFoundError` if there is no such camera."""
        return await cameras.create_rule(camera_id, settings)

    async def update_rule(self, camera_id: str, rule_id: str, settings: RuleSettings) -> Rule:
        """Replace a rule's settings and raise its revision; `NotFoundError` if there is none."""
        return await cameras.update_rule(camera_id, rule_id, settings)

    async def delete_rule(self, camera_id: str, rule_id: str) -> None:
        """Remove a rule; its violations stay. `NotFoundError` if there is none."""
        await cameras.delete_rule(camera_id, rule_id)

    async def rule(self, camera_id: str, rule_id: str) -> Rule:
        """One rule; `NotFoundError` if there is none."""
        return await cameras.rule(camera_id, rule_id)

    async def rules(self, camera_id: str | None = None) -> Sequence[Rule]:
        """A camera's rules, or all rules, oldest first."""
        return await cameras.rules(camera_id)

    async def apply(self, records: Sequence[ViolationRecord], states: Sequence[CameraStates] = ()) -> Sequence[Event]:
        """Write spooled records, events and rule states in one transaction; harmless when repeated; see `Store.apply`.

        Returns:
            The events that this call wrote, in order; a record that was there already gives none.
        """
        return await apply_records(self._engine, records, states, self._clock.utcnow())

    async def patch_violation(self, violation_id: str, patch: ViolationPatch) -> tuple[Violation, Event]:
        """Change what a person may change, and write the event; `NotFoundError` if there is none."""
        return await violations.patch_violation(self._engine, violation_id, patch, self._clock.utcnow())

    async def record_grants(self, changes: Sequence[GrantChanged]) -> Sequence[Event]:
        """Write changed grants as outbox events; the events, in order."""
        return await outbox.record_grants(self._engine, changes, self._clock.utcnow())

    async def violation(self, violation_id: str) -> Violation:
        """One violation, also by the id of a twin; `NotFoundError` if there is none."""
        return await violations.violation(violation_id)

    async def audit(self, violation_id: str) -> Sequence[AuditEntry]:
        """What was done with a violation by whom, oldest first; empty if there is none."""
        return await audit.audit(violation_id)

    async def violations(self, query: ViolationQuery) -> Sequence[Violation]:
        """Violations, newest first (by id, which grows with time)."""
        return await violations.violations(query)

    async def count_by_status(self) -> Mapping[str, int]:
        """Number of violations in each status that occurs."""
        return await violations.count_by_status()

    async def evidence_kept(self, query: EvidenceQuery) -> Sequence[Violation]:
        """Violations whose evidence may go: handled by somebody and over, oldest first."""
        return await disposal.evidence_kept(query)

    async def twin_ids(self, violation_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """The ids of each violation's twins, where it has any."""
        return await violations.twin_ids(violation_ids)

    async def cameras_with_evidence(self) -> Sequence[str]:
        """Ids of the cameras, still there or not, that have violations with evidence."""
        return await disposal.cameras_with_evidence()

    async def forget_evidence(self, violation_ids: Sequence[str], reason: str) -> Sequence[Event]:
        """Note that evidence is deleted, and why, of those that are still handled and over; the events, in order."""
        return await disposal.forget_evidence(self._engine, violation_ids, reason, self._clock.utcnow())

    async def evidence_forgotten(self) -> Mapping[str, Sequence[str]]:
        """By violation: the files and folders, there or not, that are to be deleted and aren't known to be."""
        return await disposal.evidence_forgotten()

    async def note_deleted(self, violation_ids: Sequence[str]) -> None:
        """Their files and folders are deleted."""
        await disposal.note_deleted(violation_ids)

    async def trim_events(self, before: dt.datetime, limit: int) -> int:
        """Delete the oldest events of before a time, `limit` at most, never the newest of all; how many."""
        return await disposal.trim_events(self._engine, before, limit, self._clock.utcnow())

    async def trim_dead_letters(self, before: dt.datetime, limit: int) -> int:
        """Delete the oldest dead letters of before a time, of all webhooks, `limit` at most; how many."""
        return await disposal.trim_dead_letters(before, limit)

    async def events_missed(self, after: int, before: int) -> Event | None:
        """Tells of events between two numbers that were trimmed; None where none was."""
        return await disposal.events_missed(after, before)

    async def events_after(self, number: int, limit: int) -> Sequence[Event]:
        """Outbox events with a greater number, oldest first."""
        return await outbox.events_after(number, limit)

    async def last_event_number(self) -> int:
        """Number of the newest event; 0 when there is none."""
        return await outbox.last_event_number()

    @database_call
    async def close(self) -> None:
        """Let go of connections."""
        await self._engine.close()
