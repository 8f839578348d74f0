"""The spool's file: what is in it after a restart, and when it is damaged, full, shared or read-only."""

import asyncio
import contextlib
import logging
import math
import sqlite3
from pathlib import Path

import msgspec
import pytest

from gateway.domain.clock import SystemClock
from gateway.errors import SpoolError
from gateway.store.group_commit import GroupCommitter
from gateway.store.spool import SqliteSpool
from gateway.store.spool_file import open_spool_file
from tests.support.violations import opened


def _files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def _fill(spool: SqliteSpool) -> int:
    """Commit tens of records until the spool refuses; how many it kept."""
    kept = 0
    with contextlib.suppress(SpoolError):
        while kept < 10_000:
            await spool.commit([opened() for _ in range(10)], {("a", "1"): b"%d" % kept})
            kept += 10
    return kept


async def test_records_and_states_are_there_after_a_restart(tmp_path: Path) -> None:
    record = opened()
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.commit([record], {("a", "1"): b"state"})

    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        assert [kept for _, kept in await spool.oldest(10)] == [record]
        assert await spool.load_rule_states() == {("a", "1"): b"state"}


async def test_the_file_is_synced_at_each_commit(tmp_path: Path) -> None:
    connection = open_spool_file(tmp_path / "spool.db", 1 << 20, SystemClock())
    full = 2
    assert connection.execute("PRAGMA synchronous").fetchone() == (full,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("damage", ["text", "overwritten pages", "truncated"])
async def test_a_damaged_file_is_put_aside_and_a_new_one_started(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool.db"
    async with await SqliteSpool.open(path) as spool:
        await spool.commit([opened() for _ in range(200)], {})
    whole = path.read_bytes()
    spoiled = {
        "text": b"this is no database, whatever its name says\n" * 100,
        "overwritten pages": whole[:4096] + b"\xa5" * (len(whole) - 4096),
        "truncated": whole[: len(whole) // 2 + 100],
    }[damage]
    path.write_bytes(spoiled)

    with caplog.at_level(logging.ERROR):
        async with await SqliteSpool.open(path) as spool:
            await spool.commit([opened()], {})
            assert await spool.depth() == 1

    (aside,) = _files(tmp_path, "spool.db.damaged-*")
    assert aside.read_bytes() == spoiled
    assert aside.name in caplog.text


async def test_a_damaged_write_ahead_log_costs_only_what_it_held(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with await SqliteSpool.open(path) as spool:
        await spool.commit([opened()], {})
    path.with_name("spool.db-wal").write_bytes(b"\xa5" * 5000)

    async with await SqliteSpool.open(path) as spool:
        assert await spool.depth() == 1


async def test_a_second_gateway_on_the_same_file_is_refused(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db"):
        with pytest.raises(SpoolError, match="used by another process"):
            await SqliteSpool.open(tmp_path / "spool.db")


async def test_a_file_of_a_newer_gateway_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SpoolError, match="a newer gateway"):
        await SqliteSpool.open(path)

    assert _files(tmp_path, "*") == [path]


async def test_a_folder_that_can_not_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SpoolError, match="can't be made"):
        await SqliteSpool.open(tmp_path / "file" / "spool.db")


async def test_a_full_spool_refuses_keeps_what_it_has_and_goes_on_when_drained(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db", limit_bytes=256 * 1024) as spool:
        kept = await _fill(spool)
        with pytest.raises(SpoolError, match="full"):
            await spool.commit([opened() for _ in range(10)], {})

        assert await spool.depth() == kept
        assert await spool.load_rule_states() == {("a", "1"): b"%d" % (kept - 10)}
        batch = await spool.oldest(100)
        await spool.acknowledge(batch[-1][0])
        await spool.commit([opened()], {})
        assert await spool.depth() == kept - 100 + 1


async def test_on_a_disk_with_little_space_commits_are_refused_and_draining_goes_on(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.commit([opened() for _ in range(3)], {})

    async with await SqliteSpool.open(tmp_path / "spool.db", min_free_bytes=1 << 60) as spool:
        with pytest.raises(SpoolError, match="make room"):
            await spool.commit([opened()], {})
        await spool.acknowledge((await spool.oldest(2))[-1][0])
        assert await spool.depth() == 1


async def test_a_closed_spool_says_so(tmp_path: Path) -> None:
    spool = await SqliteSpool.open(tmp_path / "spool.db")
    await spool.close()
    await spool.close()

    with pytest.raises(SpoolError, match="closed"):
        await spool.commit([opened()], {})


async def test_a_record_that_can_not_be_understood_is_named(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    connection = open_spool_file(path, 1 << 20, SystemClock())
    connection.execute("INSERT INTO record (payload) VALUES (X'7B7D')")
    connection.close()

    async with await SqliteSpool.open(path) as spool:
        with pytest.raises(SpoolError, match="record 1 "):
            await spool.oldest(1)


async def test_a_box_that_was_no_number_holds_up_no_record(tmp_path: Path) -> None:
    record = opened()
    nowhere = msgspec.structs.replace(record.violation, box=(math.nan, 1.0, 2.0, math.inf))
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.commit([msgspec.structs.replace(record, violation=nowhere), record], {})
        found = [each for _, each in await spool.oldest(2)]

    at_the_edge = msgspec.structs.replace(record.violation, box=(0.0, 1.0, 2.0, 0.0))
    assert found == [msgspec.structs.replace(record, violation=at_the_edge), record]


async def test_after_a_failure_the_connection_is_another_one(tmp_path: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        connections.append(open_spool_file(tmp_path / "spool.db", 1 << 20, SystemClock()))
        return connections[-1]

    committer = GroupCommitter(connect)
    await committer.run(lambda connection: connection.execute("CREATE TABLE kept (x)"))
    with pytest.raises(sqlite3.OperationalError):
        await committer.run(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    await committer.run(lambda connection: connection.execute("INSERT INTO kept VALUES (1)"))
    await committer.close()

    assert len(connections) == 2


async def test_epochs_and_what_is_to_be_carried_outlive_a_restart(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.adopt("a", 3, {"rule": b"{}"})
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        assert await spool.load_epochs() == {"a": 3}
        assert [each.camera_id for each in await spool.uncarried(0)] == ["a"]


async def test_a_spool_of_the_version_before_gets_its_epochs(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.commit([], {("a", "rule"): b"{}"})
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as connection:
        connection.execute("DROP TABLE lease")
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await spool.adopt("a", 1, None)
        assert [each.states for each in await spool.uncarried(0)] == [{"rule": b"{}"}]


async def test_who_commits_in_one_turn_of_the_event_loop_shares_one_transaction(tmp_path: Path) -> None:
    statements: list[str] = []

    def connect() -> sqlite3.Connection:
        connection = open_spool_file(tmp_path / "spool.db", 1 << 20, SystemClock())
        connection.set_trace_callback(statements.append)
        return connection

    committer = GroupCommitter(connect)
    spool = SqliteSpool(committer, tmp_path, 0)
    await asyncio.gather(*(spool.commit([opened()], {("a", str(n)): b"x"}) for n in range(50)))
    await committer.close()

    assert statements.count("COMMIT") == 1
    assert sum(statement.startswith("INSERT INTO record") for statement in statements) == 50


async def test_who_gives_up_takes_no_other_caller_along(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        callers = [asyncio.create_task(spool.commit([opened()], {})) for _ in range(3)]
        await asyncio.sleep(0)
        callers[1].cancel()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
        assert await spool.depth() == 3


async def test_a_record_that_can_not_be_written_leaves_those_of_its_turn_alone(tmp_path: Path) -> None:
    unwritable = opened(label="\ud800")
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        good, bad, better = (spool.commit(records, {}) for records in ([opened()], [opened(), unwritable], [opened()]))
        outcomes = await asyncio.gather(good, bad, better, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [type(None), UnicodeEncodeError, type(None)]
        assert await spool.depth() == 2


async def test_what_is_asked_for_in_one_turn_is_done_in_that_order(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db") as spool:
        await asyncio.gather(
            spool.commit([], {("a", "1"): b"1", ("b", "1"): b"2"}),
            spool.forget_rule_states("a", "1"),
            spool.commit([], {("a", "2"): b"3", ("b", "1"): b"4"}),
            spool.commit([], {("b", "1"): b"5"}),
        )

        assert await spool.load_rule_states() == {("a", "2"): b"3", ("b", "1"): b"5"}


async def test_on_a_disk_with_little_space_all_who_commit_at_once_are_refused(tmp_path: Path) -> None:
    async with await SqliteSpool.open(tmp_path / "spool.db", min_free_bytes=1 << 60) as spool:
        outcomes = await asyncio.gather(*(spool.commit([opened()], {}) for _ in range(5)), return_exceptions=True)

        assert {type(outcome) for outcome in outcomes} == {SpoolError}
        assert await spool.depth() == 0
