"""Group commit: one thread, one SQLite connection, one fsync for all that arrived during the last one."""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
_Request = tuple[Operation[Any], "list[asyncio.Future[Any]]"]
"""An operation and those who wait for it."""


class GroupCommitter:
    """Runs operations on a connection of its own; each returns after the commit of the transaction it shared.

    What is asked for in one turn of the event loop is handed to the thread at once: one by one, the thread would begin
    with the first alone, and who asked at the same time would wait for two syncs.

    After a failure the connection is closed, and the next group begins on a new one: what an fsync that failed left
    in the page cache is unknown, so that a second fsync of the same descriptor proves nothing.

    Args:
        connect: Opens the connection; called in the thread.
        group_limit: A transaction of so many operations takes no more.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], group_limit: int = 512) -> None:
        self._connect = connect
        self._group_limit = group_limit
        self._arriving: list[_Request] = []
        self._requests: queue.SimpleQueue[list[_Request] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="spool", daemon=True)
        self._thread.start()

    @property
    def upcoming(self) -> Operation[Any] | None:
        """The newest operation, as long as it can be added to: until the thread has it or another is asked for."""
        return self._arriving[-1][0] if self._arriving else None

    def run(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Run an operation in a transaction; what it returns is committed when the future is done.

        When the future is cancelled, by its caller's being so, the operation is carried out nevertheless.

        Args:
            operation: Called once in the thread, also when several ask for it because it is `upcoming`.

        Raises:
            RuntimeError: The committer is closed.
            sqlite3.Error: From the future: the transaction it was in failed; nothing of it was kept.
        """
        if self._closed:
            raise RuntimeError("the spool is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        if self._arriving and operation is self._arriving[-1][0]:
            self._arriving[-1][1].append(future)
        else:
            if not self._arriving:
                self._loop.call_soon(self._send)
            self._arriving.append((operation, [future]))
        return future

    async def close(self) -> None:
        """Commit what was asked for, close the file, end the thread; may be called twice."""
        if not self._closed:
            self._closed = True
            self._send()
            self._requests.put(None)
        await asyncio.to_thread(self._thread.join)

    def _send(self) -> None:
        arrived, self._arriving = self._arriving, []
        if arrived:
            self._requests.put(arrived)

    def _serve(self) -> None:
        closing = False
        while not closing:
            group, closing = self._next_group()
            try:
                results = self._commit([operation for operation, _ in group]) if group else []
            except BaseException as error:  # noqa: BLE001 - every failure belongs to the callers who wait for it
                self._disconnect()
                self._hand_back(asyncio.Future.set_exception, group, [error] * len(group))
            else:
                self._hand_back(asyncio.Future.set_result, group, results)
        self._disconnect()

    def _next_group(self) -> tuple[list[_Request], bool]:
        """Wait for requests and take what else is there; True when they were the last."""
        group: list[_Request] = []
        while (requests := self._requests.get()) is not None:
            group += requests
            if len(group) >= self._group_limit or self._requests.empty():
                return group, False
        return group, True

    def _commit(self, operations: Sequence[Operation[Any]]) -> list[Any]:
        if self._connection is None:
            self._connection = self._connect()
        self._connection.execute("BEGIN IMMEDIATE")
        results = [operation(self._connection) for operation in operations]
        self._connection.execute("COMMIT")
        return results

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _hand_back(
        self, settle: Callable[["asyncio.Future[Any]", Any], None], group: Sequence[_Request], outcomes: Sequence[Any]
    ) -> None:
        """Wake the callers with one call into the event loop: its self-pipe costs more than a small commit."""

        def settle_all() -> None:
            for (_, futures), outcome in zip(group, outcomes, strict=True):
                for future in futures:
                    if not future.done():
                        settle(future, outcome)

        if group:
            self._loop.call_soon_threadsafe(settle_all)
