"""The spool's part in the ownership of cameras: epochs, and which rule states the database doesn't have. Blocking."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from gateway.domain.lease import CameraStates

SCHEMA = """
CREATE TABLE IF NOT EXISTS lease (
    camera_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 1,
    carried INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
"""An older gateway passes it over: the format of what it knows is unchanged."""

_UNCARRIED = """
SELECT camera_id, epoch, version, rule_id, state FROM lease LEFT JOIN rule_state USING (camera_id)
WHERE version > carried AND NOT EXISTS (SELECT 1 FROM record WHERE seq > ?) ORDER BY camera_id
"""


def note_changes(connection: sqlite3.Connection, camera_ids: Iterable[str]) -> None:
    """States of these cameras have changed."""
    changes = [(camera_id,) for camera_id in camera_ids]
    connection.executemany("UPDATE lease SET version = version + 1 WHERE camera_id = ?", changes)


def adopt(connection: sqlite3.Connection, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
    """Note a camera's epoch, and states in place of those kept."""
    connection.execute("INSERT OR REPLACE INTO lease (camera_id, epoch) VALUES (?, ?)", (camera_id, epoch))
    if states is not None:
        connection.execute("DELETE FROM rule_state WHERE camera_id = ?", (camera_id,))
        rows = [(camera_id, rule_id, state) for rule_id, state in states.items()]
        connection.executemany("INSERT INTO rule_state VALUES (?, ?, ?)", rows)


def disown(connection: sqlite3.Connection, camera_id: str) -> None:
    """Drop a camera's epoch and states."""
    connection.execute("DELETE FROM lease WHERE camera_id = ?", (camera_id,))
    connection.execute("DELETE FROM rule_state WHERE camera_id = ?", (camera_id,))


def uncarried(connection: sqlite3.Connection, after: int) -> list[CameraStates]:
    """All states of cameras of which some aren't carried; none while a record after this one waits."""
    rows = connection.execute(_UNCARRIED, (after,)).fetchall()
    return [
        CameraStates(
            camera_id=camera_id,
            epoch=epoch,
            version=version,
            states={rule_id: state for *_, rule_id, state in group if rule_id is not None},
        )
        for (camera_id, epoch, version), group in groupby(rows, key=lambda row: row[:3])
    ]


def note_carried(connection: sqlite3.Connection, states: Sequence[CameraStates]) -> None:
    """The database has these, unless the camera has been adopted anew meanwhile."""
    carried = [(each.version, each.camera_id, each.epoch) for each in states]
    connection.executemany("UPDATE lease SET carried = ? WHERE camera_id = ? AND epoch = ?", carried)
