"""Many rows at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from piccolo.columns import JSON, Column
from piccolo.querystring import QueryString
from piccolo.table import Table

from gateway.store.engine import DatabaseEngine
from gateway.store.postgres_engine import PooledPostgresEngine
from gateway.store.rows import json_text


async def insert_rows(
    engine: DatabaseEngine,
    table: type[Table],
    rows: Sequence[Mapping[str, Any]],
    key: Column,
    *,
    known: bool = False,
) -> list[Any]:
    """Insert rows that all have the same columns, in one statement.

    PostgreSQL gets them as one JSON parameter: putting a thousand rows into Piccolo's objects and placeholders costs
    more than the database takes to store them.

    Args:
        engine: The database.
        table: Where to.
        rows: Values by column; those of JSON columns as text.
        key: The column whose values are returned.
        known: Whether rows that are there already are passed over.

    Returns:
        The keys of the rows that were inserted.
    """
    if not rows:
        return []
    name = key._meta.name  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # where Piccolo has it
    if not isinstance(engine, PooledPostgresEngine):
        insert = table.insert(*(table(**row) for row in rows))
        if known:
            insert = insert.on_conflict(target=key, action="DO NOTHING")
        return [row[name] for row in await insert.returning(key)]
    tablename = table._meta.tablename  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # as above
    columns = ", ".join(f'"{column}"' for column in rows[0])
    conflict = f'ON CONFLICT ("{name}") DO NOTHING' if known else ""
    statement = (
        f'INSERT INTO "{tablename}" ({columns}) SELECT {columns} '  # noqa: S608 - names of our own tables and columns
        f'FROM json_populate_recordset(NULL::"{tablename}", {{}}::json) {conflict} RETURNING "{name}"'
    )
    return [row[name] for row in await engine.run_querystring(QueryString(statement, _as_json(table, rows)))]


def _as_json(table: type[Table], rows: Sequence[Mapping[str, Any]]) -> str:
    nested = {column._meta.name for column in table.all_columns() if isinstance(column, JSON)}  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # as above
    return json_text(
        [
            {name: msgspec.Raw(str(value).encode()) if name in nested else value for name, value in row.items()}
            for row in rows
        ]
    )
