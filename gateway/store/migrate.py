"""Bring the database's tables to what this version needs, or back; quiet, all or nothing, one process at a time."""

import contextlib
import importlib
import io
import os
import pkgutil
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.apps.migrations.tables import Migration

from gateway.errors import DatabaseError
from gateway.store import piccolo_conf, piccolo_migrations
from gateway.store.database_errors import database_call
from gateway.store.engine import DatabaseEngine, bind_tables, lock_until_commit

APP_NAME = "gateway"
_MIGRATION_LOCK = 0x52555448_01


class _MigrationModule(Protocol):
    ID: str
    forwards: Callable[[], Awaitable[MigrationManager]]


@database_call
async def migrate(engine: DatabaseEngine) -> list[str]:
    """Run the migrations that this database has not had; binds the tables to the engine.

    Call it before `PiccoloStore.open`: a long migration must not meet the time limit of the pool's statements.

    Returns:
        The ids of the migrations that ran now, in order.

    Raises:
        DatabaseError: The database is away or refused, or a newer gateway has changed it; nothing was changed.
    """
    known = _migrations()
    async with engine.transaction():
        ran = await _history(engine)
        if unknown := set(ran) - set(known):
            raise DatabaseError(
                f"a newer gateway has changed this database ({', '.join(sorted(unknown))}): run that one, or its backup"
            )
        pending = [migration_id for migration_id in known if migration_id not in ran]
        for migration_id in pending:
            await _run(known[migration_id], backwards=False)
            await Migration.insert(Migration(name=migration_id, app_name=APP_NAME))
    return pending


@database_call
async def migrate_back(engine: DatabaseEngine, to: str | None = None) -> list[str]:
    """Undo every migration after `to`, the newest first; with None all of them, and so every table.

    Returns:
        The ids of the migrations that were undone, in order.

    Raises:
        DatabaseError: The database is away or refused; nothing was changed.
        KeyError: A migration to undo is not known to this version.
    """
    known = _migrations()
    async with engine.transaction():
        undone = [migration_id for migration_id in reversed(await _history(engine)) if to is None or migration_id > to]
        for migration_id in undone:
            await _run(known[migration_id], backwards=True)
            await Migration.delete().where((Migration.name == migration_id) & (Migration.app_name == APP_NAME))
    return undone


def _migrations() -> dict[str, _MigrationModule]:
    names = (module.name for module in pkgutil.iter_modules(piccolo_migrations.__path__))
    modules = (importlib.import_module(f"{piccolo_migrations.__name__}.{name}") for name in names)
    return {module.ID: module for module in sorted(cast("list[_MigrationModule]", [*modules]), key=lambda m: m.ID)}


async def _history(engine: DatabaseEngine) -> list[str]:
    """The ids that ran, in order; makes Piccolo's table for them. Holds off other processes until the commit."""
    bind_tables(engine)
    piccolo_conf.DB = engine
    os.environ["PICCOLO_CONF"] = piccolo_conf.__name__
    await lock_until_commit(engine, _MIGRATION_LOCK)
    await Migration.create_table(if_not_exists=True)
    return sorted(await Migration.get_migrations_which_ran(app_name=APP_NAME))


async def _run(module: _MigrationModule, *, backwards: bool) -> None:
    manager = await module.forwards()
    with contextlib.redirect_stdout(io.StringIO()):  # Piccolo reports its progress by printing
        await manager.run(backwards=backwards)
