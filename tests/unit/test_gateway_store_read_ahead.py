"""Reading ahead in a real spool."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.clock import SystemClock
from gateway.errors import SpoolError
from gateway.store.group_commit import GroupCommitter
from gateway.store.read_ahead import Batch, ReadAhead
from gateway.store.spool import SqliteSpool
from gateway.store.spool_file import open_spool_file
from tests.support.violations import opened


class Traced:
    """A real spool that notes the statements it runs."""

    def __init__(self, path: Path) -> None:
        self.statements: list[str] = []
        self._path = path
        self.spool = SqliteSpool(GroupCommitter(self._connect), path.parent, 0)

    def _connect(self) -> sqlite3.Connection:
        connection = open_spool_file(self._path, 1 << 20, SystemClock())
        connection.set_trace_callback(self.statements.append)
        return connection

    @property
    def reads(self) -> int:
        return sum(statement.startswith("SELECT seq") for statement in self.statements)


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    traced = Traced(tmp_path / "spool.db")
    async with traced.spool:
        await traced.spool.commit([opened() for _ in range(12)], {})
        yield traced


def _numbers(batch: Batch) -> list[int]:
    return [number for number, _ in batch]


async def test_batches_follow_one_another_before_they_are_acknowledged(traced: Traced) -> None:
    records = ReadAhead(traced.spool, 5)

    batches = [_numbers(await records.next()) for _ in range(4)]

    assert batches == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12], [1, 2, 3, 4, 5]]


async def test_the_next_batch_is_read_while_nobody_asks_for_it(traced: Traced) -> None:
    records = ReadAhead(traced.spool, 5)
    await records.next()

    async with asyncio.timeout(5):
        while traced.reads < 2:  # noqa: ASYNC110 - the thread of the spool says nothing to this one
            await asyncio.sleep(0.001)


async def test_nothing_is_read_ahead_where_nothing_more_can_be(traced: Traced) -> None:
    records = ReadAhead(traced.spool, 50)
    await records.next()
    await traced.spool.depth()

    assert traced.reads == 1


async def test_acknowledged_records_do_not_come_again(traced: Traced) -> None:
    records = ReadAhead(traced.spool, 5)
    seen: list[int] = []
    while batch := await records.next():
        seen += _numbers(batch)
        await traced.spool.acknowledge(batch[-1][0])

    assert seen == list(range(1, 13))


async def test_after_a_failure_the_oldest_come_again(traced: Traced) -> None:
    records = ReadAhead(traced.spool, 5)
    await traced.spool.acknowledge((await records.next())[-1][0])
    await records.next()

    records.begin_again()

    assert _numbers(await records.next()) == [6, 7, 8, 9, 10]


async def test_a_record_that_can_not_be_understood_holds_up_no_batch_before_it(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with await SqliteSpool.open(path) as spool:
        await spool.commit([opened() for _ in range(3)], {})
    connection = open_spool_file(path, 1 << 20, SystemClock())
    connection.execute("UPDATE record SET payload = X'7B7D' WHERE seq = 3")
    connection.close()

    async with await SqliteSpool.open(path) as spool:
        records = ReadAhead(spool, 2)
        assert _numbers(await records.next()) == [1, 2]
        with pytest.raises(SpoolError, match="record 3 "):
            await records.next()
        assert _numbers(await records.next()) == [1, 2], "it begins again"
        await spool.depth()  # what is read ahead has failed by now
        records.begin_again()
