"""What `Spool` promises."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.ports import Spool
from gateway.domain.violation import BEING_RECORDED, Evidence
from gateway.store.spool import SqliteSpool
from tests.support.violations import clip_taken, closed, opened, updated


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    async with await SqliteSpool.open(tmp_path / "spool.db") as opened_spool:
        yield opened_spool


async def test_a_new_spool_is_empty(spool: Spool) -> None:
    assert await spool.depth() == 0
    assert list(await spool.oldest(10)) == []
    assert await spool.load_rule_states() == {}


async def test_records_come_back_in_the_order_they_were_committed(spool: Spool) -> None:
    first = opened()
    records = [first, opened(track_id=None), closed(first.violation)]

    await spool.commit(records[:2], {})
    await spool.commit(records[2:], {})

    assert [record for _, record in await spool.oldest(10)] == records
    assert await spool.depth() == 3


async def test_only_as_many_records_come_as_were_asked_for(spool: Spool) -> None:
    records = [opened() for _ in range(5)]
    await spool.commit(records, {})

    assert [record for _, record in await spool.oldest(2)] == records[:2]


async def test_records_after_a_number_can_be_asked_for(spool: Spool) -> None:
    records = [opened() for _ in range(5)]
    await spool.commit(records, {})
    await spool.acknowledge((await spool.oldest(1))[-1][0])
    number, _ = (await spool.oldest(2))[-1]

    assert [record for _, record in await spool.oldest(10, after=number)] == records[3:]
    assert [record for _, record in await spool.oldest(1, after=number)] == records[3:4]
    assert list(await spool.oldest(10, after=number + 2)) == []


async def test_acknowledged_records_are_gone_and_the_others_stay(spool: Spool) -> None:
    records = [opened() for _ in range(5)]
    await spool.commit(records, {})
    batch = await spool.oldest(3)

    await spool.acknowledge(batch[-1][0])

    assert [record for _, record in await spool.oldest(10)] == records[3:]
    assert await spool.depth() == 2


async def test_an_acknowledgement_that_comes_late_drops_nothing_newer(spool: Spool) -> None:
    await spool.commit([opened()], {})
    ((number, _),) = await spool.oldest(1)
    await spool.acknowledge(number)
    newer = opened()
    await spool.commit([newer], {})

    await spool.acknowledge(number)

    assert [record for _, record in await spool.oldest(10)] == [newer]


async def test_clips_that_are_being_recorded_are_known_until_their_record_comes(spool: Spool) -> None:
    awaited = Evidence(missing_reason=f"{BEING_RECORDED} until noon")
    first, second, none = opened(clip=awaited), opened(clip=awaited), opened()
    await spool.commit([first, none, second, updated(first.violation)], {})
    await spool.commit([clip_taken(second.violation), clip_taken(none.violation)], {})

    ((number, _),) = (await spool.oldest(10))[-1:]
    await spool.acknowledge(number)

    assert list(await spool.awaited_clips()) == [first.violation.id]


async def test_the_last_state_of_a_rule_is_kept(spool: Spool) -> None:
    await spool.commit([], {("a", "1"): b"old", ("a", "2"): b"x"})
    await spool.commit([opened()], {("a", "1"): b"new", ("b", "1"): b"\x00\xff"})

    assert await spool.load_rule_states() == {("a", "1"): b"new", ("a", "2"): b"x", ("b", "1"): b"\x00\xff"}


async def test_the_state_of_a_rule_can_be_forgotten(spool: Spool) -> None:
    await spool.commit([], {("a", "1"): b"1", ("a", "2"): b"2", ("b", "1"): b"3"})

    await spool.forget_rule_states("a", "1")
    await spool.forget_rule_states("b", "other")

    assert await spool.load_rule_states() == {("a", "2"): b"2", ("b", "1"): b"3"}


async def test_commits_at_once_are_all_kept(spool: Spool) -> None:
    records = [opened() for _ in range(300)]

    await asyncio.gather(*(spool.commit([record], {("a", "1"): b"x"}) for record in records))

    kept = [record.violation.id for _, record in await spool.oldest(1000)]
    assert kept == [record.violation.id for record in records]


async def test_a_commit_whose_caller_gave_up_does_not_hold_up_the_next(spool: Spool) -> None:
    impatient = asyncio.create_task(spool.commit([opened()], {}))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)

    await spool.commit([opened()], {})

    assert await spool.depth() == 2


async def test_states_of_an_adopted_camera_are_carried_once_no_record_is_behind(spool: Spool) -> None:
    await spool.commit([], {("a", "1"): b"before", ("b", "1"): b"not adopted"})
    await spool.adopt("a", 7, {"1": b"theirs", "2": b"{}"})
    assert await spool.load_epochs() == {"a": 7}
    (waiting,) = await spool.uncarried(0)
    assert (waiting.camera_id, waiting.epoch, waiting.states) == ("a", 7, {"1": b"theirs", "2": b"{}"})

    await spool.note_carried([waiting])
    assert list(await spool.uncarried(0)) == []
    await spool.commit([opened()], {("a", "1"): b"mine"})
    assert list(await spool.uncarried(0)) == [], "the record goes first"
    ((number, _),) = await spool.oldest(1)
    (waiting,) = await spool.uncarried(number)
    assert waiting.states["1"] == b"mine"


async def test_a_change_while_states_are_carried_is_carried_next(spool: Spool) -> None:
    await spool.adopt("a", 1, {"1": b"first"})
    (waiting,) = await spool.uncarried(0)
    await spool.commit([], {("a", "1"): b"second"})
    await spool.note_carried([waiting])
    assert [each.states for each in await spool.uncarried(0)] == [{"1": b"second"}]
    await spool.adopt("a", 2, None)
    await spool.note_carried([waiting])
    assert [(each.epoch, each.states) for each in await spool.uncarried(0)] == [(2, {"1": b"second"})]


async def test_a_camera_without_states_is_carried_too_and_one_that_is_disowned_is_not(spool: Spool) -> None:
    await spool.adopt("a", 3, None)
    assert [(each.camera_id, each.states) for each in await spool.uncarried(0)] == [("a", {})]
    await spool.commit([], {("a", "1"): b"1"})
    await spool.disown("a")
    assert list(await spool.uncarried(0)) == []
    assert (await spool.load_epochs(), await spool.load_rule_states()) == ({}, {})
