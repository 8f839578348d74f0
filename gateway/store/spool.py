"""The durable queue between detection and database, in one SQLite file per gateway."""

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from gateway.domain.clock import Clock, SystemClock
from gateway.domain.lease import CameraStates
from gateway.domain.lost_numbers import decode
from gateway.domain.violation import ViolationRecord
from gateway.errors import SpoolError
from gateway.store import spool_leases
from gateway.store.group_commit import GroupCommitter
from gateway.store.spool_file import open_spool_file
from gateway.store.spool_write import RuleStates, SpoolWrite

T = TypeVar("T")
DEFAULT_LIMIT_BYTES = 1 << 30
"""About a million violations: weeks of a database being away."""

DEFAULT_MIN_FREE_BYTES = 32 << 20
"""The write-ahead log, the file's growth when the log is written back, and some more."""

_decoder: msgspec.json.Decoder[ViolationRecord] = msgspec.json.Decoder(ViolationRecord)


class SqliteSpool:
    """Implements `gateway.domain.ports.Spool`; open it with `SqliteSpool.open`, use it as a context or close it.

    WAL with `synchronous=FULL` and group commit: commits that are asked for while the disk syncs share the next sync.
    Rule states commit with the records they belong to. One event loop, one process: the file is locked.
    """

    def __init__(self, committer: GroupCommitter, folder: Path, min_free_bytes: int) -> None:
        self._committer = committer
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._carries = False  # a gateway that is alone asks for nothing to carry

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        min_free_bytes: int = DEFAULT_MIN_FREE_BYTES,
        clock: Clock | None = None,
    ) -> Self:
        """Open the spool, made new where there is none.

        A damaged file is renamed to `<name>.damaged-<time>` and a new one started, which is logged as an error.

        Args:
            path: The SQLite file; its folder is made.
            limit_bytes: Size that the file never exceeds; a commit that would is refused.
            min_free_bytes: Commits are refused while the disk has less free, as SQLite needs room to drop records too:
                a spool on a disk that is full to the last byte could not be drained.
            clock: Gives the time in the name of a damaged file.

        Raises:
            SpoolError: It can't be opened: no right or no space, another process has it, a newer gateway wrote it.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolError(f"the spool's folder {path.parent} can't be made: {error.strerror}") from error
        committer = GroupCommitter(partial(open_spool_file, path, limit_bytes, clock or SystemClock()))
        spool = cls(committer, path.parent, min_free_bytes)
        try:
            spool._carries = bool(await spool.load_epochs())
        except BaseException:
            await spool.close()
            raise
        return spool

    async def load_rule_states(self) -> RuleStates:
        """The state of each rule by (camera id, rule id), as last committed."""
        rows = await self._run(_query("SELECT camera_id, rule_id, state FROM rule_state"))
        return {(camera_id, rule_id): state for camera_id, rule_id, state in rows}

    async def commit(self, records: Sequence[ViolationRecord], states: RuleStates) -> None:
        """Keep records and rule states in one transaction; durable when this returns.

        Raises:
            SpoolError: Nothing of it was kept.
        """
        write = self._committer.upcoming
        if not isinstance(write, SpoolWrite):
            self._require_space()  # once for all who commit in this turn
            write = SpoolWrite()
        write.add(records, states)
        await self._run(write)

    async def forget_rule_states(self, camera_id: str, rule_id: str) -> None:
        """Drop the state of a rule.

        Raises:
            SpoolError: Nothing was dropped.
        """

        def forget(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM rule_state WHERE camera_id = ? AND rule_id = ?", (camera_id, rule_id))
            spool_leases.note_changes(connection, [camera_id])

        await self._run(forget)

    async def load_epochs(self) -> Mapping[str, int]:
        """Under which epoch each camera was adopted, by camera id."""
        return dict(await self._run(_query("SELECT camera_id, epoch FROM lease")))

    async def adopt(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """Note a camera's epoch and carry its states from now on; see `Spool.adopt`.

        Raises:
            SpoolError: Nothing was changed.
        """
        self._carries = True
        await self._run(lambda connection: spool_leases.adopt(connection, camera_id, epoch, states))

    async def disown(self, camera_id: str) -> None:
        """Drop a camera's states and its epoch.

        Raises:
            SpoolError: Nothing was dropped.
        """
        await self._run(lambda connection: spool_leases.disown(connection, camera_id))

    async def uncarried(self, after: int) -> Sequence[CameraStates]:
        """States of adopted cameras that the database doesn't have; none while a record after this one waits.

        Raises:
            SpoolError: The file can't be read.
        """
        return await self._run(lambda connection: spool_leases.uncarried(connection, after)) if self._carries else []

    async def note_carried(self, states: Sequence[CameraStates]) -> None:
        """The database has these states, or wants them no more.

        Raises:
            SpoolError: Nothing was changed.
        """
        await self._run(lambda connection: spool_leases.note_carried(connection, states))

    async def awaited_clips(self) -> Sequence[str]:
        """Ids of the violations that opened saying their clip is being recorded, and of which nothing came since.

        Raises:
            SpoolError: The file can't be read.
        """
        return [violation_id for (violation_id,) in await self._run(_query("SELECT violation_id FROM awaited_clip"))]

    async def oldest(self, limit: int, after: int = 0) -> Sequence[tuple[int, ViolationRecord]]:
        """The oldest records not yet acknowledged, with their sequence numbers; only those with greater ones.

        Raises:
            SpoolError: The file can't be read, or holds a record that this gateway doesn't understand.
        """
        oldest = "SELECT seq, payload FROM record WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = await self._run(_query(oldest, after, limit))
        return [(seq, _decode(seq, payload)) for seq, payload in rows]

    async def acknowledge(self, through: int) -> None:
        """Drop every record up to this sequence number: the database has them.

        Raises:
            SpoolError: Nothing was dropped.
        """
        await self._run(_query("DELETE FROM record WHERE seq <= ?", through))

    async def depth(self) -> int:
        """How many records wait.

        Raises:
            SpoolError: The file can't be read.
        """
        # Numbers are without gaps: records leave at the front only. Both ends are one step in the tree, a count is not.
        ends = "SELECT (SELECT MIN(seq) FROM record), (SELECT MAX(seq) FROM record)"
        ((first, last),) = await self._run(_query(ends))
        return 0 if first is None else int(last - first + 1)

    async def close(self) -> None:
        """Commit what was asked for and close the file; may be called twice."""
        await self._committer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _require_space(self) -> None:
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            raise SpoolError(f"the spool's folder {self._folder} is gone: {error.strerror}") from error
        free = disk.f_bavail * disk.f_frsize
        if free < self._min_free_bytes:
            raise SpoolError(
                f"make room on the disk of {self._folder}: it has {free >> 20} MiB free, "
                f"and the spool takes nothing more below {self._min_free_bytes >> 20} MiB"
            )

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._committer.run(operation)
        except (sqlite3.Error, RuntimeError, OSError) as error:
            raise SpoolError(f"the spool can't be used: {error}") from error


def _query(sql: str, *parameters: object) -> Callable[[sqlite3.Connection], list[Any]]:
    return lambda connection: connection.execute(sql, parameters).fetchall()


def _decode(seq: int, payload: bytes) -> ViolationRecord:
    try:
        return decode(_decoder, payload)
    except msgspec.MsgspecError as error:
        raise SpoolError(f"record {seq} of the spool can't be understood: {error}") from error
