"""Piccolo on PostgreSQL with a pool that outlives the server's restarts."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from piccolo.engine.postgres import PostgresEngine, PostgresTransaction

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 10.0
"""The server ends a transaction whose gateway says nothing for so long: its machine may be gone without a word."""


class PooledPostgresEngine(PostgresEngine):
    """PostgreSQL through asyncpg's pool; nothing connects before `open`, nor then if the server is away.

    Args:
        dsn: `postgresql://…`, as libpq has it.
        pool_size: Largest number of connections.
    """

    def __init__(self, dsn: str, pool_size: int) -> None:
        self._pool_size = pool_size
        # No prepared statement outlives its transaction: a pooler may give the next one another connection.
        super().__init__(config={"dsn": dsn, "timeout": CONNECT_TIMEOUT_S, "statement_cache_size": 0})

    async def check_version(self) -> None:
        """Nothing: Piccolo would connect here, in the constructor."""

    async def open(self) -> None:
        """Make the pool; connections are opened as they are needed."""
        if self.pool is None:
            await self.start_connection_pool(min_size=0, max_size=self._pool_size, command_timeout=STATEMENT_TIMEOUT_S)

    async def close(self) -> None:
        """Close the pool after what runs in it."""
        if self.pool is not None:
            await self.close_connection_pool()

    async def copy_rows(self, tablename: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows of the same columns by COPY, in the open transaction: half of what INSERT costs."""
        transaction = self.current_transaction.get()
        if transaction is None:
            raise RuntimeError("rows are copied in a transaction")
        records = [tuple(row.values()) for row in rows]
        await transaction.connection.copy_records_to_table(tablename, records=records, columns=list(rows[0]))

    def transaction(self, allow_nested: bool = True) -> "PooledTransaction":
        """A transaction on a connection of its own."""
        return PooledTransaction(self, allow_nested=allow_nested)


class PooledTransaction(PostgresTransaction):
    """A transaction that gives its connection back when the server dies; Piccolo's keeps it, and stays current.

    Its time limit is set as it begins, in the same message: what is set for a session gets lost behind a pooler.
    """

    async def __aenter__(self) -> PostgresTransaction:
        """Take a connection and begin, or join the transaction that is open already."""
        if self._parent is not None:
            return self._parent
        self.connection = await self.get_connection()  # type: ignore[no-untyped-call]
        try:
            await self.begin()
        except BaseException:
            await self._give_back()
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
            await (self.commit() if exception is None else self.rollback())
        finally:
            await self._give_back()
        return False

    async def begin(self) -> None:
        """Begin, on the connection that was taken."""
        limit_ms = round(IDLE_TIMEOUT_S * 1000)
        await self.connection.execute(f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = {limit_ms}")

    async def commit(self) -> None:
        """Make what was written last."""
        await self.connection.execute("COMMIT")

    async def rollback(self) -> None:
        """Undo what was written."""
        await self.connection.execute("ROLLBACK")

    async def _give_back(self) -> None:
        if self.engine.pool is not None:
            await self.engine.pool.release(self.connection)
        else:
            await self.connection.close()
