"""Which database: made from its URL, and given to the tables."""

from pathlib import Path
from urllib.parse import urlsplit

from piccolo.apps.migrations.tables import Migration
from piccolo.querystring import QueryString
from piccolo.table import Table

from gateway.errors import ConfigurationError
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.sqlite_engine import PooledSQLiteEngine
from gateway.store.tables import TABLES

DatabaseEngine = PooledSQLiteEngine | PooledPostgresEngine

DEFAULT_POOL_SIZE = 10


def make_engine(database_url: str | None, data_dir: Path, *, pool_size: int = DEFAULT_POOL_SIZE) -> DatabaseEngine:
    """Choose the engine; nothing is connected yet.

    Args:
        database_url: `postgresql://user:password@host:5432/name`, `sqlite:///relative/path.db`,
            `sqlite:////absolute/path.db`, or None for `ruth.db` in the data folder.
        data_dir: The data folder; made if SQLite is to live in it.
        pool_size: Largest number of connections (`DATABASE_POOL_SIZE`).

    Raises:
        ConfigurationError: The URL is of another database, or names no file; the text shows no password.
    """
    if not database_url:
        return _sqlite(data_dir / "ruth.db", pool_size)
    scheme = urlsplit(database_url).scheme
    if scheme in {"postgresql", "postgres"}:
        return PooledPostgresEngine(database_url, pool_size)
    if scheme == "sqlite":
        return _sqlite(_sqlite_path(database_url), pool_size)
    raise ConfigurationError(
        f"DATABASE_URL begins with {scheme or 'no scheme'!r}; it can be postgresql://…, sqlite:///path, or left out"
    )


def bind_tables(engine: DatabaseEngine) -> None:
    """Make the tables of this process use this database. Piccolo has one database per process, not per object."""
    tables: tuple[type[Table], ...] = (*TABLES, Migration)
    for table in tables:
        table._meta.db = engine  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # where Piccolo has it


async def lock_until_commit(engine: DatabaseEngine, key: int) -> None:
    """Let the other transactions that ask for this lock wait until the current one ends.

    On PostgreSQL an advisory lock of the transaction, which poolers such as PgBouncer keep. On SQLite nothing: a
    transaction here holds the write lock from its start.

    Args:
        engine: The engine with an open transaction.
        key: Number of the lock, 64 bits.
    """
    if isinstance(engine, PooledPostgresEngine):
        await engine.run_querystring(QueryString("SELECT pg_advisory_xact_lock({})", key))


def _sqlite(path: Path, pool_size: int) -> PooledSQLiteEngine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"the database's folder {path.parent} can't be made: {error.strerror}") from error
    return PooledSQLiteEngine(path, pool_size)


def _sqlite_path(database_url: str) -> Path:
    prefix, path = database_url[: len("sqlite:///")], database_url[len("sqlite:///") :]
    if prefix != "sqlite:///" or not path:
        raise ConfigurationError("DATABASE_URL for SQLite is sqlite:///relative/path.db or sqlite:////absolute/path.db")
    return Path(path)
