"""Many rows at once. PostgreSQL takes them by COPY, and as arrays; SQLite as a table of values."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from piccolo.columns import Column
from piccolo.querystring import QueryString
from piccolo.table import Table

from gateway.store.engine import DatabaseEngine
from gateway.store.postgres_engine import PooledPostgresEngine

Rows = Sequence[Mapping[str, Any]]
"""Values by column, all rows of the same columns; those of JSON columns as text."""


async def insert_rows(engine: DatabaseEngine, table: type[Table], rows: Rows) -> None:
    """Insert rows in their order; to be called in a transaction."""
    if rows and isinstance(engine, PooledPostgresEngine):
        await engine.copy_rows(_table(table), rows)
    elif rows:
        await engine.run_querystring(_insert(engine, table, rows))


async def insert_new_rows(engine: DatabaseEngine, table: type[Table], rows: Rows, key: Column) -> set[Any]:
    """Insert the rows whose keys aren't there yet; to be called in a transaction.

    COPY passes nothing over: what is there is left out first. Should a transaction that was given up insert the same
    rows meanwhile, this one fails by the table's primary key, and its next attempt finds them.

    Returns:
        The keys of the rows that were inserted.
    """
    name = _name(key)
    if not rows:
        return set()
    if not isinstance(engine, PooledPostgresEngine):
        insert = _insert(engine, table, rows)
        query = QueryString(f'{{}} ON CONFLICT ("{name}") DO NOTHING RETURNING "{name}"', insert)
        return {row[name] for row in await engine.run_querystring(query)}
    there = f'SELECT "{name}" FROM "{_table(table)}" WHERE "{name}" = ANY ({{}}::text[])'  # noqa: S608 - names of our own tables and columns
    found = {row[name] for row in await engine.run_querystring(QueryString(there, [row[name] for row in rows]))}
    new = [row for row in rows if row[name] not in found]
    await insert_rows(engine, table, new)
    return {row[name] for row in new}


async def insert_numbered_rows(engine: DatabaseEngine, table: type[Table], rows: Rows, number: Column) -> list[int]:
    """Insert rows that the database numbers; to be called in a transaction.

    Returns:
        Their numbers, which grow in the order of the rows.
    """
    name = _name(number)
    if not rows:
        return []
    if not isinstance(engine, PooledPostgresEngine):
        query = QueryString(f'{{}} RETURNING "{name}"', _insert(engine, table, rows))
        return sorted(row[name] for row in await engine.run_querystring(query))
    sequence = "SELECT nextval(pg_get_serial_sequence({}, {})) AS number FROM generate_series(1, {})"
    taken = await engine.run_querystring(QueryString(sequence, _table(table), name, len(rows)))
    numbers = sorted(row["number"] for row in taken)
    await insert_rows(engine, table, [{name: each, **row} for each, row in zip(numbers, rows, strict=True)])
    return numbers


async def update_rows(
    engine: DatabaseEngine,
    table: type[Table],
    rows: Rows,
    key: Column,
    condition: str,
    beside: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Change rows, each at most once, where a condition holds.

    Args:
        engine: The database.
        table: Where.
        rows: New values by column; the key's says which row.
        key: The column that tells rows apart.
        condition: SQL over the columns as they are, named after the table, and as they will be, named after `news`.
        beside: PostgreSQL's types of the values, by name, that the condition asks for and no column takes.

    Returns:
        The rows that were changed, as they are now.
    """
    if not rows:
        return []
    name, tablename = _name(key), _table(table)
    changes = ", ".join(f'"{column}" = news."{column}"' for column in rows[0] if column not in (name, *beside))
    every = ", ".join(f'"{tablename}"."{_name(column)}" AS "{_name(column)}"' for column in table.all_columns())
    statement = (
        f'UPDATE "{tablename}" SET {changes} FROM ({{}}) AS news '  # noqa: S608 - as above
        f'WHERE "{tablename}"."{name}" = news."{name}" AND ({condition}) RETURNING {every}'
    )
    query = QueryString(statement, _news(engine, table, rows, beside))
    return [dict(row) for row in await engine.run_querystring(query)]


def _insert(engine: DatabaseEngine, table: type[Table], rows: Rows) -> QueryString:
    columns = _quoted(rows[0])
    statement = f'INSERT INTO "{_table(table)}" ({columns}) SELECT {columns} FROM ({{}}) AS news WHERE true'  # noqa: S608 - as above
    return QueryString(statement, _news(engine, table, rows))


def _news(
    engine: DatabaseEngine, table: type[Table], rows: Rows, beside: Mapping[str, str] | None = None
) -> QueryString:
    """A query that gives the rows back, in their order.

    PostgreSQL gets an array for each column: a placeholder for each value would cost more than storing it.
    """
    names = list(rows[0])
    if isinstance(engine, PooledPostgresEngine):
        types = {_name(column): column.column_type.partition("(")[0] for column in table.all_columns()}
        types |= beside or {}
        arrays = ", ".join(f"{{}}::{types[name]}[]" for name in names)
        columns = zip(*(row.values() for row in rows), strict=True)
        return QueryString(f"SELECT * FROM unnest({arrays}) AS news ({_quoted(names)})", *map(list, columns))  # noqa: S608 - as above
    columns_named = ", ".join(f'column{number} AS "{name}"' for number, name in enumerate(names, 1))
    places = ", ".join([f"({', '.join(['{}'] * len(names))})"] * len(rows))
    values = chain.from_iterable(row.values() for row in rows)
    return QueryString(f"SELECT {columns_named} FROM (VALUES {places})", *values)  # noqa: S608 - as above


def _quoted(columns: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _name(column: Column) -> str:
    return column._meta.name  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # where Piccolo has it


def _table(table: type[Table]) -> str:
    return table._meta.tablename  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # as above
