"""One episode that two replicas saw parts of is one violation.

A replica that loses a camera may have recorded an episode that the database didn't know when another replica took the
camera over. That one, if the episode goes on, opens it anew. Whichever of the two records comes second becomes a part
of the first: its id is kept as a twin's, and what is said of the twin later is said of the violation.

Only such an episode has a twin: it was still open when its owner lost the camera, and the same revision of the rule, by
a later owner, opened within the rule's gap window of its last hit. A tracker's ids don't count, as they differ between
replicas; of several episodes that go on at once each finds a twin of its own.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from piccolo.querystring import QueryString

from gateway.domain.definitions import RuleDefinition
from gateway.domain.violation import (
    AuditAction,
    AuditEntry,
    Violation,
    ViolationClosed,
    ViolationOpened,
    ViolationRecord,
)
from gateway.store.audit import GATEWAY, write_audit
from gateway.store.engine import DatabaseEngine
from gateway.store.rows import violation_of
from gateway.store.tables import TwinRow, ViolationRow

_CUT_OFF = """
SELECT id, camera_id, rule_id, rule_revision, epoch, coalesce(ended_at, frame_at, started_at) AS last
FROM violation AS v
WHERE camera_id = ANY({}) AND (ended_at IS NULL OR cut_off) AND epoch > 0 AND NOT EXISTS (
    SELECT 1 FROM camera_lease AS l LEFT JOIN violation_twin AS t ON t.violation_id = v.id
    WHERE l.camera_id = v.camera_id AND (position(v.id in l.states) > 0 OR position(t.id in l.states) > 0)
)
ORDER BY started_at
"""
"""Those that an owner left open and the next one doesn't know, as the states it took over don't name them."""

TWIN_COLUMNS = {"is_twins": "boolean"}
TWINS_FILL_GAPS = """(NOT news.is_twins OR violation.clip LIKE '%"name":""%')"""
"""Whether a clip counts, as a condition for `gateway.store.bulk.update_rows`."""

_LATER = """
SELECT id FROM violation AS v
WHERE camera_id = {} AND rule_id = {} AND rule_revision = {} AND epoch > {} AND started_at <= {}
    AND (ended_at IS NULL OR ended_at >= {}) AND NOT EXISTS (SELECT 1 FROM violation_twin WHERE violation_id = v.id)
ORDER BY started_at LIMIT 1
"""


class Twins:
    """Finds the twins among newly opened violations, within one transaction that has locked their cameras' leases.

    Args:
        engine: With an open transaction.
        records: All that the transaction writes, in order.
        epochs: The newest epoch of each camera.
        now: For records.
    """

    def __init__(
        self,
        engine: DatabaseEngine,
        records: Sequence[ViolationRecord],
        epochs: Mapping[str, int],
        now: dt.datetime,
    ) -> None:
        self._engine = engine
        self._epochs = epochs
        self._now = now
        self._ends = {record.id: record for record in records if isinstance(record, ViolationClosed)}

    async def merge(self, openings: Sequence[ViolationOpened]) -> list[Violation]:
        """Make twins parts of the violations that are on record; the violations that have changed.

        From then on `twins_of` knows them.
        """
        known = await twins_of(self._engine, [opening.violation.id for opening in openings])
        fresh = [opening for opening in openings if opening.violation.id not in known]
        gaps = await self._gaps({opening.violation.rule_id for opening in fresh})
        cut_off = await self._cut_off({opening.violation.camera_id for opening in fresh})
        changed: list[Violation] = []
        for opening in fresh:
            gap = gaps.get(opening.violation.rule_id, dt.timedelta())
            if merged := await self._merge_into_earlier(opening, cut_off, gap) or await self._merge_into_later(
                opening, gap
            ):
                changed.append(merged)
        return changed

    async def _merge_into_earlier(
        self, opening: ViolationOpened, cut_off: list[dict[str, Any]], gap: dt.timedelta
    ) -> Violation | None:
        """The new owner opened what the one before had left open: that goes on."""
        mine = opening.violation
        for row in cut_off:
            same = (row["camera_id"], row["rule_id"], row["rule_revision"]) == (
                mine.camera_id,
                mine.rule_id,
                mine.rule_revision,
            )
            in_time = mine.started_at - row["last"] <= gap
            if same and in_time and row["epoch"] < opening.epoch and row["id"] != mine.id:
                cut_off.remove(row)
                goes_on = {
                    ViolationRow.ended_at: None,
                    ViolationRow.cut_off: False,
                    ViolationRow.epoch: opening.epoch,
                }
                return await self._merged(mine.id, row["id"], goes_on)
        return None

    async def _merge_into_later(self, opening: ViolationOpened, gap: dt.timedelta) -> Violation | None:
        """An owner of before comes late with the beginning of what the new one has opened."""
        mine, end = opening.violation, self._ends.get(opening.violation.id)
        if opening.epoch >= self._epochs.get(mine.camera_id, 0) or (end is not None and not end.cut_off):
            return None
        last = end.ended_at if end is not None else mine.frame_at or mine.started_at
        rows = await self._run(
            _LATER, mine.camera_id, mine.rule_id, mine.rule_revision, opening.epoch, last + gap, mine.started_at - gap
        )
        if not rows:
            return None
        (later,) = await ViolationRow.select(ViolationRow.started_at).where(ViolationRow.id == rows[0]["id"])
        began = {ViolationRow.started_at: min(later["started_at"], mine.started_at)}
        return await self._merged(mine.id, rows[0]["id"], began)

    async def _merged(self, twin_id: str, violation_id: str, changes: Mapping[Any, Any]) -> Violation:
        await TwinRow.insert(TwinRow(id=twin_id, violation_id=violation_id))
        note = f"{twin_id}: recorded under this id, too, while the camera changed hands"
        entry = AuditEntry(at=self._now, actor=GATEWAY, action=AuditAction.MERGED, note=note)
        await write_audit(self._engine, {violation_id: [entry]})
        update = ViolationRow.update({**changes, ViolationRow.updated_at: self._now})
        (row,) = await update.where(ViolationRow.id == violation_id).returning(*ViolationRow.all_columns())
        return violation_of(row)

    async def _cut_off(self, camera_ids: Collection[str]) -> list[dict[str, Any]]:
        rows = await self._run(_CUT_OFF, sorted(camera_ids)) if camera_ids else []
        over = {violation_id for violation_id, end in self._ends.items() if not end.cut_off}
        return [row for row in rows if row["id"] not in over]

    async def _gaps(self, rule_ids: Collection[str]) -> Mapping[str, dt.timedelta]:
        """How long each rule takes two sightings for one episode."""
        if not rule_ids:
            return {}
        rows = await self._run("SELECT id, definition FROM rule WHERE id = ANY({})", sorted(rule_ids))
        definitions = {row["id"]: msgspec.json.decode(row["definition"], type=RuleDefinition) for row in rows}
        return {rule_id: dt.timedelta(seconds=each.max_gap_s) for rule_id, each in definitions.items()}

    async def _run(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._engine.run_querystring(QueryString(statement, *parameters))
        return rows


async def twins_of(engine: DatabaseEngine, ids: Sequence[str]) -> Mapping[str, str]:
    """The violation that each of these ids is a twin of, where it is one."""
    if not ids:
        return {}
    statement = QueryString("SELECT id, violation_id FROM violation_twin WHERE id = ANY({})", list(ids))
    return {row["id"]: row["violation_id"] for row in await engine.run_querystring(statement)}
