"""Foreign database exceptions become `DatabaseError` here."""

import errno
import functools
import sqlite3
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any, ParamSpec, TypeVar, cast

import asyncpg
from asyncpg.exceptions import InternalClientError

from gateway.errors import DatabaseError

P = ParamSpec("P")
T = TypeVar("T")

FOREIGN_ERRORS: tuple[type[Exception], ...] = (
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    InternalClientError,
    OSError,  # can't connect, connection lost, time limit
)
FOREIGN_KEY_ERRORS: tuple[type[Exception], ...] = (sqlite3.IntegrityError, asyncpg.ForeignKeyViolationError)


def database_call(function: Callable[P, Awaitable[T]]) -> "Callable[P, CoroutineType[Any, Any, T]]":
    """Decorate a coroutine function that talks to the database.

    Raises:
        DatabaseError: For whatever SQLite, asyncpg or the connection to the server raise.
    """

    @functools.wraps(function)
    async def mapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except FOREIGN_ERRORS as error:
            raise DatabaseError(f"the database refused or is away: {_reason(error)}") from error

    # A coroutine function is what it is to callers and Protocols alike; `wraps` alone would widen it.
    return cast("Callable[P, CoroutineType[Any, Any, T]]", mapped)


def is_full(error: DatabaseError) -> bool:
    """Whether the database's disk has no room: what was to be written can be when there is."""
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(cause, asyncpg.DiskFullError) or (isinstance(cause, OSError) and cause.errno == errno.ENOSPC)


def _reason(error: Exception) -> str:
    """What it says. A time-out says nothing, and some of asyncpg's neither."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
