"""Keeps the evidence within what the operator allows: by age, number and disk."""

import asyncio
import datetime as dt
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from gateway.domain.clock import Clock, StepWatch
from gateway.domain.event import Event
from gateway.domain.ports import EventBus, EvidenceStore, Store
from gateway.domain.retention import EvidenceQuery, RetentionPolicy
from gateway.domain.violation import Violation, ViolationStatus, evidence_places
from gateway.errors import DatabaseError, StoreError
from gateway.store.database_errors import is_full

_logger = logging.getLogger(__name__)

EVERY_S = 60.0
WARN_EVERY_S = 3600.0
PASS_OVER_S = 600.0
"""What lies with other gateways isn't looked at again for so long."""

FULL = 0.99
"""From here on what the database has no room for is made room for."""

STEP = 100
EVENTS_STEP = 5000

Has = Callable[[str], Awaitable[bool]]
"""Tells whether a file or folder lies here."""


class Retention:
    """Deletes evidence that is too old or too much, some at a time: first it is noted, then the files go.

    Only where the disk is so full that it can't be noted do files go first, of one violation after the other, until it
    can be.

    Deleting is safe to break off anywhere: what is noted, and may still be there, is deleted by the next step.

    Args:
        store: Holds violations and events.
        evidence: Holds the files.
        bus: Is told of what changed.
        clock: Gives ages.
        policy: What goes.
        has: Given where other gateways on the database may have evidence elsewhere: this one lets go of what it has,
            and leaves the rest to them. None where all evidence is in one place.
        on_deleted: Called with the reason, `age`, `count` or `disk`, and for how many violations; for counting.
        on_trimmed: Called with how many events were trimmed.
    """

    def __init__(
        self,
        store: Store,
        evidence: EvidenceStore,
        bus: EventBus,
        clock: Clock,
        policy: RetentionPolicy,
        *,
        has: Has | None = None,
        on_deleted: Callable[[str, int], None] = lambda _, __: None,
        on_trimmed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._evidence = evidence
        self._bus = bus
        self._clock = clock
        self._watch = StepWatch(clock)
        self._trusted = True
        self._policy = policy
        self._has = has
        self._on_deleted = on_deleted
        self._on_trimmed = on_trimmed
        self._passed: dict[tuple[str | None, str | None], str] = {}  # up to where each search has passed some over
        self._passed_since_s = -math.inf  # monotonic
        self._forgotten: set[str] = set()  # of which violations this one may have noted evidence that is still there
        self._owed: set[str] = set()  # violations of which files went before that could be noted
        self._allowed = f"{policy.disk_share:.0%}"
        self._others = 0.0  # share of the disk that is used by what isn't evidence, as it was at `_looked_s`
        self._looked_s = self._warned_s = -math.inf  # monotonic

    async def run(self) -> None:
        """Look every minute, until cancelled; while database or evidence store are away it waits."""
        while True:
            try:
                while await self.step():
                    pass  # each step waits for the database
            except StoreError as error:
                _logger.warning("retention has to wait", extra={"reason": str(error)})
            await asyncio.sleep(EVERY_S)

    async def step(self) -> bool:
        """Let go of a bounded number of things; whether there may be more.

        Raises:
            StoreError: Database or evidence store are away.
        """
        now, now_s = self._clock.utcnow(), self._clock.monotonic()
        if now_s - self._passed_since_s >= PASS_OVER_S:
            self._passed_since_s = now_s
            self._passed.clear()
        self._can_trust_the_clock()
        await self._note_owed()
        await self._delete_forgotten()
        more = self._trusted and await self._step_age(now)
        more = await self._step_disk() or await self._step_count() or more
        return (self._trusted and await self._trim(now)) or more  # last: a full disk has room for it only now

    def _can_trust_the_clock(self) -> None:
        trusted = self._watch.is_trusted()
        if self._trusted and not trusted:
            _logger.warning(
                "the clock has stepped, or the machine slept: for an hour nothing goes for its age",
                extra={"stepped_by": str(self._watch.stepped_by)},
            )
        self._trusted = trusted

    async def _trim(self, now: dt.datetime) -> bool:
        before = now - dt.timedelta(days=self._policy.event_days)
        trimmed = await self._store.trim_events(before, EVENTS_STEP)
        if trimmed:
            self._on_trimmed(trimmed)
            _logger.info("events trimmed", extra={"events": trimmed})
        letters = await self._store.trim_dead_letters(before, EVENTS_STEP)
        if letters:
            _logger.info("dead letters trimmed", extra={"dead_letters": letters})
        return EVENTS_STEP in (trimmed, letters)

    async def _step_age(self, now: dt.datetime) -> bool:
        for status, before in self._policy.limits(now):
            query = EvidenceQuery(status=status, created_before=before, limit=STEP)
            if await self._step_through(query, "age", f"{status} violations of before {before:%Y-%m-%d} keep none"):
                return True
        return False

    async def _step_count(self) -> bool:
        if self._policy.per_camera is None:
            return False
        for camera_id in await self._store.cameras_with_evidence():
            query = EvidenceQuery(camera_id=camera_id, beyond_newest=self._policy.per_camera, limit=STEP)
            if await self._step_through(query, "count", f"the newest {self._policy.per_camera} of a camera are kept"):
                return True
        return False

    async def _step_disk(self) -> bool:
        used = await self._evidence.used_share()
        if used <= self._policy.disk_share:
            self._warned_s = -math.inf
            return False
        if await self._is_filled_by_others(used):
            return False
        query = EvidenceQuery(limit=STEP // 10)
        if await self._step_through(query, "disk", f"more than {self._allowed} of the disk was used"):
            return True
        _logger.warning("the evidence's disk is fuller than allowed, and what is left here is of open violations")
        return False

    async def _step_through(self, query: EvidenceQuery, kind: str, reason: str) -> bool:
        """Let go of the next evidence that matches and lies here; whether there may be more.

        Violations whose evidence lies elsewhere are passed over, and for a while not looked at again.
        """
        key = query.status, query.camera_id
        found = await self._store.evidence_kept(msgspec.structs.replace(query, after_id=self._passed.get(key)))
        here = found if self._has is None else await self._lying_here(found, self._has)
        try:
            if here:
                await self._let_go(here, kind, reason)
        except DatabaseError:
            if self._owed:  # their files are gone, and the next step goes on after them
                self._passed[key] = found[-1].id
            raise
        if len(here) < len(found):
            self._passed[key] = found[-1].id
        return bool(found)

    async def _lying_here(self, violations: Sequence[Violation], has: Has) -> Sequence[Violation]:
        """Those of which there is a file in this gateway's folder, or of which there is none anywhere."""
        twins = await self._store.twin_ids([violation.id for violation in violations])
        here: list[Violation] = []
        for violation in violations:
            places = evidence_places(violation, twins.get(violation.id, ()))
            if not _names(violation) or await _lies_in_any(places, has):
                here.append(violation)
        return here

    async def _is_filled_by_others(self, used: float) -> bool:
        """Whether more of the disk than allowed is used by what isn't evidence: then deleting all of it is no help."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= EVERY_S:
            self._looked_s, self._others = now_s, used - await self._evidence.held_share()
        if self._others <= self._policy.disk_share:
            self._warned_s = -math.inf
            return False
        if now_s - self._warned_s >= WARN_EVERY_S:
            self._warned_s = now_s
            _logger.warning(
                "something else fills the evidence's disk beyond what is allowed; deleting evidence would not help",
                extra={"used": f"{used:.1%}", "evidence": f"{used - self._others:.1%}", "allowed": self._allowed},
            )
        return True

    async def _let_go(self, violations: Sequence[Violation], kind: str, reason: str) -> None:
        """Note that their evidence is deleted, and delete it. Who has been opened again meanwhile keeps it."""
        self._forgotten.update(violation.id for violation in violations)
        events = await self._note(violations, reason)
        if events:
            self._bus.publish(events)
            self._on_deleted(kind, len(events))
        await self._delete_forgotten()
        if events:
            _logger.info("evidence deleted", extra={"violations": len(events), "reason": reason})

    async def _note(self, violations: Sequence[Violation], reason: str) -> Sequence[Event]:
        """Note that their evidence is deleted; on a full disk of as many only as it takes to make room for that."""
        try:
            return await self._store.forget_evidence([violation.id for violation in violations], reason)
        except DatabaseError as error:
            if not await self._can_make_room(error):
                raise
            _logger.warning("the disk is full: evidence is deleted before that can be noted")
            return await self._make_room(violations, reason, error)

    async def _make_room(self, violations: Sequence[Violation], reason: str, error: DatabaseError) -> Sequence[Event]:
        """Delete what one after the other names, until that can be noted.

        Their folders stay until then: by these the next life finds out what lies here and isn't noted.
        """
        for violation in violations:
            now = await self._store.violation(violation.id)
            if now.status is ViolationStatus.OPEN:
                continue
            for name in _names(now):
                await self._evidence.delete(name)
            self._owed.add(now.id)
            try:
                events = await self._store.forget_evidence([*self._owed], reason)
            except DatabaseError as again:
                error = again
                if not await self._can_make_room(error):
                    break
            else:
                self._owed.clear()
                return events
        raise error

    async def _can_make_room(self, error: DatabaseError) -> bool:
        return is_full(error) and await self._evidence.used_share() >= FULL

    async def _note_owed(self) -> None:
        """Note what had to go before there was room to; with the room that others may have made."""
        if not self._owed:
            return
        try:
            events = await self._store.forget_evidence([*self._owed], "the disk was full")
        except DatabaseError as error:
            if not is_full(error):
                raise
        else:
            self._owed.clear()
            self._bus.publish(events)
            self._on_deleted("disk", len(events))

    async def _delete_forgotten(self) -> None:
        """Delete what is noted as deleted, by whomever: all that this one has noted, and whatever else lies here."""
        forgotten = await self._store.evidence_forgotten()
        deleted: list[str] = []
        for violation_id, places in forgotten.items():
            if self._has is None or violation_id in self._forgotten or await _lies_in_any(places, self._has):
                for place in places:
                    await self._evidence.delete(place)
                deleted.append(violation_id)
        await self._note_deleted(deleted)
        self._forgotten.clear()

    async def _note_deleted(self, violation_ids: Sequence[str]) -> None:
        """A full disk may have no room for this either; then it is noted later."""
        try:
            await self._store.note_deleted(violation_ids)
        except DatabaseError as error:
            if not is_full(error):
                raise


def _names(violation: Violation) -> list[str]:
    return [kept.name for kept in (violation.evidence, violation.clean_evidence, violation.clip) if kept.name]


async def _lies_in_any(places: Sequence[str], has: Has) -> bool:
    return any([await has(place) for place in places])
