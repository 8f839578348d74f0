"""Bring the database's tables to what this version needs, or back; quiet, all or nothing, one process at a time."""

import contextlib
import importlib
import io
import logging
import os
import pkgutil
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from piccolo.apps.migrations.tables import Migration

from gateway.errors import ConfigurationError, DatabaseError
from gateway.store import piccolo_migrations
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine, bind_tables, lock_until_commit

if TYPE_CHECKING:
    from piccolo.apps.migrations.auto.migration_manager import MigrationManager

_logger = logging.getLogger(__name__)

APP_NAME = "gateway"
_MIGRATION_LOCK = 0x52555448_01
_FITS = f"{APP_NAME} fits "
"""How the app's name begins in a migration's second row, which says what it fits: a version from before can read it."""

_MODULE_NAME = re.compile(rf"{APP_NAME}_(\d+)_(\d+)_(\d+)t(\d+)_(\d+)_(\d+)_(\d+)")


class MigrationModule(Protocol):
    """One step of the tables, as Piccolo writes it.

    It may have a `FITS`: a gateway whose last migration is that one, or a later one, goes on with these tables.
    """

    ID: str
    forwards: "Callable[[], Awaitable[MigrationManager]]"


@database_call
async def migrate(engine: DatabaseEngine) -> list[str]:
    """Run the migrations that this database has not had; binds the tables to the engine.

    Call it before `PiccoloStore.open`: a long migration must not meet the time limit of the pool's statements.

    Returns:
        The ids of the migrations that ran now, in order.

    Raises:
        DatabaseError: The database is away or refused, or a newer gateway has changed it in a way that doesn't fit this
            one; nothing was changed.
    """
    known = known_migrations()
    async with engine.transaction():
        ran = await _history(engine)
        if unknown := sorted(set(ran) - set(known)):
            await _check_that_they_fit(unknown, max(known))
        pending = [migration_id for migration_id in known if migration_id not in ran]
        for migration_id in pending:
            await _run(engine, known[migration_id], backwards=False)
            rows = [Migration(name=migration_id, app_name=APP_NAME)]
            if fits := getattr(load_migration(known[migration_id]), "FITS", ""):
                rows.append(Migration(name=migration_id, app_name=_FITS + fits))
            await Migration.insert(*rows)
    return pending


@database_call
async def migrate_back(engine: DatabaseEngine, to: str | None = None) -> list[str]:
    """Undo every migration after `to`, the newest first; with None all of them, and so every table.

    Returns:
        The ids of the migrations that were undone, in order.

    Raises:
        ConfigurationError: The database hasn't had `to`, or this version doesn't know a migration to undo.
        DatabaseError: The database is away or refused; nothing was changed.
    """
    known = known_migrations()
    async with engine.transaction():
        ran = await _history(engine)
        if to is not None and to not in ran:
            raise ConfigurationError(
                f"the database hasn't had a migration {to!r}; it has had {', '.join(ran) or 'none'}"
            )
        undone = [migration_id for migration_id in reversed(ran) if to is None or migration_id > to]
        if unknown := [migration_id for migration_id in undone if migration_id not in known]:
            raise ConfigurationError(f"only the version that made them can undo {', '.join(unknown)}: run that one")
        for migration_id in undone:
            await _run(engine, known[migration_id], backwards=True)
            is_ours = (Migration.app_name == APP_NAME) | Migration.app_name.like(f"{_FITS}%")
            await Migration.delete().where((Migration.name == migration_id) & is_ours)
    return undone


def known_migrations() -> dict[str, str]:
    """The name of each migration's module by the migration's id, in order; none is imported."""
    names = sorted(module.name for module in pkgutil.iter_modules(piccolo_migrations.__path__))
    return {_id_of(name): name for name in names}


def load_migration(name: str) -> MigrationModule:
    """Import a migration, and with it Piccolo's machinery: too much for every start, of which few have work for it."""
    return cast("MigrationModule", importlib.import_module(f"{piccolo_migrations.__name__}.{name}"))


def _id_of(name: str) -> str:
    """Piccolo names a module after the id in it."""
    if (match := _MODULE_NAME.fullmatch(name)) is None:
        raise ValueError(f"{name} is no name of a migration")
    return "{}-{}-{}T{}:{}:{}:{}".format(*match.groups())


async def _history(engine: DatabaseEngine) -> list[str]:
    """The ids that ran, in order; makes Piccolo's table for them. Holds off other processes until the commit."""
    bind_tables(engine)
    await lock_until_commit(engine, _MIGRATION_LOCK)
    await Migration.create_table(if_not_exists=True)
    return sorted(await Migration.get_migrations_which_ran(app_name=APP_NAME))


async def _check_that_they_fit(unknown: Sequence[str], newest_known: str) -> None:
    """A newer gateway's migrations: warn where this one goes on with them, `DatabaseError` where it doesn't."""
    marks = await Migration.select().where(Migration.app_name.like(f"{_FITS}%"))
    fits = {row["name"]: row["app_name"].removeprefix(_FITS) for row in marks}
    names = ", ".join(unknown)
    if any(migration_id not in fits or fits[migration_id] > newest_known for migration_id in unknown):
        raise DatabaseError(
            f"a newer gateway has changed this database ({names}): run that one, or, to go back, first its "
            f"`ruth-gateway migrate --back-to {newest_known}`"
        )
    _logger.warning("a newer gateway has changed this database; this one goes on with it", extra={"migrations": names})


async def _run(engine: DatabaseEngine, name: str, *, backwards: bool) -> None:
    from gateway.store import piccolo_conf

    piccolo_conf.DB = engine
    os.environ["PICCOLO_CONF"] = piccolo_conf.__name__
    manager = await load_migration(name).forwards()
    with contextlib.redirect_stdout(io.StringIO()):  # Piccolo reports its progress by printing
        await manager.run(backwards=backwards)
