"""Which replica has which camera, as rows of PostgreSQL: by its clock, without locks that outlive a transaction.

A replica lives while its row does. Renewing moves the row's end; any replica deletes the rows whose end has passed, and
with a row goes, by the foreign key, its hold on every camera. So nobody can take what is still held, and who was
deleted finds out as soon as it looks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec
import uuid_utils
from piccolo.querystring import QueryString

from gateway.domain.lease import CameraStates, Holding, Look, Taken
from gateway.domain.violation import ViolationClosed, ViolationRecord, ViolationUpdated
from gateway.errors import ConfigurationError
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine
from gateway.store.outbox import OUTBOX_LOCK
from gateway.store.rows import Row

_RENEW = """
UPDATE replica SET held_until = clock_timestamp() + {} * interval '1 second' WHERE name = {} AND instance = {}
RETURNING name
"""
_REJOIN = """
INSERT INTO replica (held_until, name, instance) VALUES (clock_timestamp() + {} * interval '1 second', {}, {})
ON CONFLICT (name) DO NOTHING RETURNING name
"""
_JOIN = _REJOIN.replace("NOTHING", "UPDATE SET held_until = excluded.held_until, instance = excluded.instance")
_EXPIRED = "SELECT name FROM replica WHERE held_until < clock_timestamp()"
_FREE_LOCKS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND xact_start IS NOT NULL
    AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '1 second'
    AND pid IN (
        SELECT pid FROM pg_locks
        WHERE relation IN ('camera_lease'::regclass, 'replica'::regclass) AND mode <> 'AccessShareLock'
        UNION SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = {}
    )
"""
"""Transactions that hold what replicas wait for, while the server waits for their gateway: one that was stopped.

Nobody waits for one that has only read, such as a backup.
"""

_EXPIRE = "DELETE FROM replica WHERE held_until < clock_timestamp()"
_ADD_CAMERAS = (
    "INSERT INTO camera_lease (camera_id) SELECT id FROM camera "
    "WHERE NOT EXISTS (SELECT 1 FROM camera_lease WHERE camera_id = camera.id) ON CONFLICT DO NOTHING"
)
_HOLDINGS = """
SELECT lease.camera_id, lease.owner, lease.epoch, coalesce(camera.enabled, true) AS enabled,
    camera.updated_at::text || coalesce(' ' || changes.revisions, '') AS revision
FROM camera_lease AS lease LEFT JOIN camera ON camera.id = lease.camera_id
LEFT JOIN (SELECT camera_id, string_agg(id || '.' || revision, ' ' ORDER BY id) AS revisions FROM rule GROUP BY 1)
    AS changes ON changes.camera_id = camera.id
ORDER BY lease.camera_id
"""
_TAKE = """
UPDATE camera_lease AS lease
SET owner = {}, epoch = lease.epoch + CASE WHEN known.epoch > 0 AND known.epoch = lease.epoch THEN 0 ELSE 1 END
FROM json_to_recordset({}::json) AS known (camera_id text, epoch bigint)
WHERE known.camera_id = lease.camera_id AND lease.camera_id IN (
    SELECT camera_id FROM camera_lease WHERE camera_id = ANY({}) AND (owner IS NULL OR owner = {})
    ORDER BY camera_id FOR UPDATE SKIP LOCKED
)
RETURNING lease.camera_id, lease.epoch, lease.states, known.epoch AS known
"""
_RELEASE = "UPDATE camera_lease SET owner = NULL WHERE camera_id = {} AND epoch = {} AND owner = {}"
_FORGET = """
DELETE FROM camera_lease WHERE camera_id = {} AND epoch = {} AND owner = {}
AND NOT EXISTS (SELECT 1 FROM camera WHERE camera.id = camera_lease.camera_id)
"""
_LOCK = "SELECT camera_id, epoch FROM camera_lease WHERE camera_id = ANY({}) ORDER BY camera_id FOR NO KEY UPDATE"
FENCE_COLUMNS = {"is_fenced": "boolean", "said_of": "text", "said_under": "bigint", "held_above": "bigint"}
FENCE = """
(NOT news.is_fenced OR violation.epoch <= news.said_under AND NOT EXISTS (
    SELECT 1 FROM camera_lease
    WHERE camera_lease.camera_id = violation.camera_id AND camera_lease.epoch > news.held_above
        AND position(news.said_of in states) > 0
))
"""
"""Whether an owner's word on how a violation goes on counts, as a condition for `gateway.store.bulk.update_rows`.

Not where a later owner has said something of it already, nor while the states that a later owner took over, or will,
hold it open: it is theirs.
"""
_CARRY = """
UPDATE camera_lease SET states = carried.states
FROM json_to_recordset({}::json) AS carried (camera_id text, epoch bigint, states text)
WHERE camera_lease.camera_id = carried.camera_id AND camera_lease.epoch = carried.epoch
"""


class PostgresLeases:
    """Implements `gateway.domain.ports.CameraLeases` for replicas on one PostgreSQL.

    Args:
        engine: Its engine; the tables are migrated.
        name: This replica's name, different from every other's.
        lease_s: It is taken for dead when it hasn't looked for so many seconds.
    """

    def __init__(self, engine: DatabaseEngine, name: str, lease_s: float) -> None:
        self._engine = engine
        self._name = name
        self._lease_s = lease_s
        self._instance = str(uuid_utils.uuid7())
        self._joined = False

    @database_call
    async def look(self) -> Look:
        """Say that this replica lives, let go of those that don't, and see who has what.

        Renewing is a transaction of its own: two replicas that both come late would wait for each other's rows. One
        that was stopped within a transaction holds its locks; `idle_in_transaction_session_timeout` doesn't end that
        where it was about to send a statement's parameters, so whoever finds a lease expired does. So does who joins:
        it may come back so soon after its machine was lost that no lease has expired.
        """
        if not await self._run(_RENEW, self._lease_s, self._name, self._instance):
            await self._free_locks()
            await self._join()
        if await self._run(_EXPIRED):
            await self._free_locks()
        async with self._engine.transaction():
            await self._run(_EXPIRE)
            await self._run(_ADD_CAMERAS)
            replicas = await self._run("SELECT name FROM replica ORDER BY name")
            holdings = await self._run(_HOLDINGS)
        return Look(
            replicas=tuple(row["name"] for row in replicas),
            holdings=tuple(msgspec.convert(row, Holding) for row in holdings),
        )

    @database_call
    async def take(self, known: Mapping[str, int]) -> Sequence[Taken]:
        """Take cameras that nobody has, or that were this replica's in an earlier life; see `CameraLeases.take`."""
        wanted = msgspec.json.encode([{"camera_id": camera, "epoch": epoch} for camera, epoch in known.items()])
        return [_taken(row) for row in await self._run(_TAKE, self._name, wanted.decode(), list(known), self._name)]

    @database_call
    async def release(self, camera_id: str, epoch: int) -> None:
        """Give a camera up, for another replica to take; nothing happens where it isn't this replica's."""
        await self._run(_RELEASE, camera_id, epoch, self._name)

    @database_call
    async def forget(self, camera_id: str, epoch: int) -> None:
        """A deleted camera's episodes have been ended."""
        await self._run(_FORGET, camera_id, epoch, self._name)

    @database_call
    async def leave(self) -> None:
        """Give everything up at once: this replica ends."""
        await self._run("DELETE FROM replica WHERE name = {} AND instance = {}", self._name, self._instance)

    async def _free_locks(self) -> None:
        await self._run(_FREE_LOCKS, OUTBOX_LOCK)

    async def _join(self) -> None:
        """Begin a life; what an earlier one of this name had is still its own, and taken again under a new epoch."""
        join = _REJOIN if self._joined else _JOIN
        if not await self._run(join, self._lease_s, self._name, self._instance):
            raise ConfigurationError(
                f"another gateway on this database is named {self._name!r}, too: "
                "give each replica a name of its own by RUTH_AI_REPLICA"
            )
        self._joined = True

    async def _run(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._engine.run_querystring(QueryString(statement, *parameters))
        return rows


async def lock_leases(engine: DatabaseEngine, camera_ids: Sequence[str]) -> Mapping[str, int]:
    """In a transaction: keep these cameras from changing hands until it ends; the epoch of each that has one."""
    rows = await engine.run_querystring(QueryString(_LOCK, sorted(camera_ids)))
    return {row["camera_id"]: row["epoch"] for row in rows}


async def carry_states(engine: DatabaseEngine, states: Sequence[CameraStates]) -> None:
    """In a transaction: keep rule states, but for those of an owner that isn't the newest."""
    rows = [{"camera_id": each.camera_id, "epoch": each.epoch, "states": _states_text(each.states)} for each in states]
    await engine.run_querystring(QueryString(_CARRY, msgspec.json.encode(rows).decode()))


def is_owners_word(record: ViolationRecord) -> TypeGuard[ViolationClosed | ViolationUpdated]:
    """Whether it says how a violation goes on, and a later owner's word may stand against it."""
    cut_off = isinstance(record, ViolationClosed) and record.cut_off
    return cut_off or (isinstance(record, ViolationClosed | ViolationUpdated) and record.epoch > 0)


def fence_columns(record: ViolationClosed | ViolationUpdated) -> Row:
    """What `FENCE` asks of a record. What was cut off gives way to whoever takes the camera next, under any epoch."""
    cut_off = isinstance(record, ViolationClosed) and record.cut_off
    return {
        "is_fenced": is_owners_word(record),
        "said_of": record.id,
        "said_under": record.epoch,
        "held_above": -1 if cut_off else record.epoch,
    }


def _states_text(states: Mapping[str, bytes]) -> str:
    return msgspec.json.encode({rule_id: state.decode() for rule_id, state in states.items()}).decode()


def _taken(row: Mapping[str, Any]) -> Taken:
    """What is kept here is older than what the spool has where nobody had the camera in between."""
    epoch, known = row["epoch"], row["known"]
    if epoch == known or (known == 0 and epoch == 1):
        return Taken(camera_id=row["camera_id"], epoch=epoch)
    states = msgspec.json.decode(row["states"], type=dict[str, str])
    return Taken(
        camera_id=row["camera_id"],
        epoch=epoch,
        states={rule_id: state.encode() for rule_id, state in states.items()},
    )
