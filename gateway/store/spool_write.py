"""Records and rule states on their way into the spool, of all who commit in one turn of the event loop."""

import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from gateway.domain.violation import ClipTaken, ViolationOpened, ViolationRecord
from gateway.store import spool_leases

RuleStates = Mapping[tuple[str, str], bytes]

_encode = msgspec.json.Encoder().encode


class SpoolWrite:
    """An operation of `gateway.store.group_commit`: writes what was added to it, each kind of row by one statement."""

    def __init__(self) -> None:
        self._payloads: list[tuple[bytes]] = []
        self._states: list[tuple[str, str, bytes]] = []
        self._awaited: list[tuple[str]] = []
        self._taken: list[tuple[str]] = []
        self._cameras: set[str] = set()

    def add(self, records: Sequence[ViolationRecord], states: RuleStates) -> None:
        """Take in records, which keep their order, and states, of which the last of a rule counts."""
        self._payloads += [(_encode(record),) for record in records]  # all of them, or none where one can't be
        for record in records:
            if isinstance(record, ViolationOpened):
                if record.violation.clip.is_awaited:
                    self._awaited.append((record.violation.id,))
            elif isinstance(record, ClipTaken):
                self._taken.append((record.id,))
        for (camera_id, rule_id), state in states.items():
            self._states.append((camera_id, rule_id, state))
            self._cameras.add(camera_id)

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Write it, in the open transaction. A clip that is awaited and taken in one turn is awaited first."""
        for statement, rows in (
            ("INSERT INTO record (payload) VALUES (?)", self._payloads),
            ("INSERT OR REPLACE INTO rule_state VALUES (?, ?, ?)", self._states),
            ("INSERT OR IGNORE INTO awaited_clip VALUES (?)", self._awaited),
            ("DELETE FROM awaited_clip WHERE violation_id = ?", self._taken),
        ):
            if rows:  # a statement without any costs half of one with one
                connection.executemany(statement, rows)
        if self._cameras:
            spool_leases.note_changes(connection, self._cameras)
