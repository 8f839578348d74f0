"""Piccolo on SQLite with connections that stay open.

Piccolo opens a connection, and so a thread, for each query; the last one to close checkpoints the WAL and deletes it.
"""

import asyncio
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

import aiosqlite
from piccolo.engine.sqlite import SQLiteEngine, SQLiteTransaction, TransactionType, dict_factory
from piccolo.table import Table

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another one."""

LOOK_AGAIN_S = 0.02

_PRAGMAS = ("PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON")


class PooledSQLiteEngine(SQLiteEngine):
    """SQLite through a small pool: WAL, `synchronous=FULL`, transactions that write from their start.

    `synchronous=FULL`, as the spool drops a record once this database has committed it.

    Args:
        path: The database file; its folder must exist when the first query runs.
        pool_size: Largest number of connections.
    """

    def __init__(self, path: Path, pool_size: int) -> None:
        super().__init__(path=str(path), timeout=BUSY_TIMEOUT_S)
        self._connection_options: dict[str, Any] = self.connection_kwargs
        self._idle: list[aiosqlite.Connection] = []
        self._free = asyncio.Semaphore(pool_size)

    async def acquire(self) -> aiosqlite.Connection:
        """Take a connection from the pool; give it back by `release` or `discard`.

        Raises:
            sqlite3.Error: The file can't be opened.
        """
        await self._free.acquire()
        try:
            return self._idle.pop() if self._idle else await self.get_connection()
        except BaseException:
            self._free.release()
            raise

    def release(self, connection: aiosqlite.Connection) -> None:
        """Put a connection back that has no open transaction."""
        self._idle.append(connection)
        self._free.release()

    async def discard(self, connection: aiosqlite.Connection) -> None:
        """Close a connection in an unknown state; SQLite rolls back what it had begun."""
        self._free.release()
        await _stop(connection)

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().close()

    async def get_connection(self) -> aiosqlite.Connection:
        """A new connection, outside the pool."""
        connection = await aiosqlite.connect(**self._connection_options)
        try:
            connection.row_factory = dict_factory  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
            await _journal_ahead(connection)
            for pragma in _PRAGMAS:
                await connection.execute_fetchall(pragma)
        except BaseException:
            await _stop(connection)
            raise
        return connection

    def transaction(
        self, transaction_type: TransactionType = TransactionType.immediate, allow_nested: bool = True
    ) -> "PooledTransaction":
        """A transaction that takes the write lock at its start, as an upgrade from reading can't wait its turn."""
        return PooledTransaction(self, transaction_type=transaction_type, allow_nested=allow_nested)

    async def _run_in_new_connection(
        self,
        query: str,
        args: list[Any] | None = None,
        query_type: str = "generic",  # noqa: ARG002 - Piccolo's signature
        table: type[Table] | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        connection = await self.acquire()
        try:
            rows = await self._run_in_existing_connection(connection, query, args)
        except sqlite3.Error:
            self.release(connection)
            raise
        except BaseException:
            await self.discard(connection)
            raise
        self.release(connection)
        return rows

    async def _run_in_existing_connection(
        self,
        connection: aiosqlite.Connection,
        query: str,
        args: list[Any] | None = None,
        query_type: str = "generic",  # noqa: ARG002
        table: type[Table] | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        return list(await connection.execute_fetchall(query, args))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class PooledTransaction(SQLiteTransaction):
    """A transaction on a pooled connection; Piccolo's own stays current for its task when its COMMIT fails."""

    engine: PooledSQLiteEngine

    async def __aenter__(self) -> SQLiteTransaction:
        """Take a connection and begin, or join the transaction that is open already."""
        if self._parent is not None:
            return self._parent
        self.connection = await self.engine.acquire()
        try:
            await self.begin()  # type: ignore[no-untyped-call]
        except BaseException:
            await self.engine.discard(self.connection)
            raise
        self.context = self.engine.current_transaction.set(self)
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Commit, or roll back after an exception, and give the connection back whatever comes."""
        if self._parent is not None:
            return False
        self.engine.current_transaction.reset(self.context)
        try:
            await (self.commit() if exception is None else self.rollback())  # type: ignore[no-untyped-call]
        except BaseException:
            await self.engine.discard(self.connection)
            raise
        self.engine.release(self.connection)
        return False


async def _journal_ahead(connection: aiosqlite.Connection) -> None:
    """Use a WAL; of several that change a new file to it at once SQLite refuses all but one, whatever the time-out."""
    now = asyncio.get_running_loop().time
    give_up_s = now() + BUSY_TIMEOUT_S
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or now() > give_up_s:
                raise
            await asyncio.sleep(LOOK_AGAIN_S)
        else:
            return


async def _stop(connection: aiosqlite.Connection) -> None:
    stopped = connection.stop()
    if stopped is not None:
        await stopped
