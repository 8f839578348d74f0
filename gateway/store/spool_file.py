"""The spool's SQLite file: opened, checked, and put aside when it is damaged. Blocking; for the spool's thread."""

import logging
import sqlite3
from pathlib import Path

from gateway.domain.clock import Clock
from gateway.errors import SpoolError, SpoolInUseError
from gateway.store import spool_leases

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2

# AUTOINCREMENT: a sequence number is never given twice, so that a late acknowledgement can't drop a newer record.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rule_state (
    camera_id TEXT NOT NULL, rule_id TEXT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (camera_id, rule_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS awaited_clip (violation_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SIDE_FILES = ("", "-wal", "-shm", "-journal")


def open_spool_file(path: Path, limit_bytes: int, clock: Clock) -> sqlite3.Connection:
    """Open the spool, made new where there is none; a damaged file is renamed and a new one started.

    The connection holds the file's lock until it is closed: a second gateway on the same file is refused.

    Args:
        path: The SQLite file; its folder must exist.
        limit_bytes: The file never grows beyond this; a commit that would is refused.
        clock: Gives the time in the name of a damaged file.

    Raises:
        SpoolError: Another process uses the file, or a newer gateway wrote it.
        sqlite3.Error: It can't be opened or written now.
    """
    try:
        return _open(path, limit_bytes)
    except sqlite3.Error as error:
        if not _is_damage(error):
            raise
        _quarantine(path, clock, error)
        return _open(path, limit_bytes)


def _open(path: Path, limit_bytes: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        _configure(connection, limit_bytes)
        _check_and_create(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        if _primary_code(error) == sqlite3.SQLITE_BUSY:
            raise SpoolInUseError(f"the spool {path} is used by another process; give each gateway its own") from error
        raise
    except (sqlite3.Error, SpoolError):
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, limit_bytes: int) -> None:
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {max(limit_bytes // page_size, 16)}")


def _check_and_create(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        damage = sqlite3.DatabaseError(verdict)
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise SpoolError(
            f"a newer gateway wrote the spool {path} (format {version}, not {SCHEMA_VERSION}): use that one"
        )
    (leases,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'lease'").fetchone()
    if version < SCHEMA_VERSION or not leases:  # else nothing is written: a spool on a full disk can be read
        schema = f"{_SCHEMA} {spool_leases.SCHEMA} PRAGMA user_version = {SCHEMA_VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without the extension in its upper bits; 0 where Python raised the error itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_damage(error: sqlite3.Error) -> bool:
    return _primary_code(error) in _DAMAGED


def _quarantine(path: Path, clock: Clock, error: sqlite3.Error) -> None:
    stamp = clock.utcnow().strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in _SIDE_FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    logger.error(
        "the spool %s is damaged (%s): kept as %s, a new one is started; violations that it held and the database "
        "has not are only in that file",
        path,
        error,
        aside,
    )
