"""Changed grants are told once they matter, once however many, and none is lost while the database is away."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.event import Event, GrantChanged
from gateway.errors import DatabaseError
from gateway.events import grants
from gateway.events.bus import MemoryEventBus
from gateway.events.grants import REST_S, GrantAnnouncer, GrantDigest
from tests.support.events import a_grant, event


def tell(digest: GrantDigest, now_s: float) -> list[GrantChanged]:
    due = digest.due(now_s)
    digest.told(due, now_s)
    return due


def test_of_changes_in_a_row_the_last_is_told():
    digest = GrantDigest()
    for fps in (5.0, 4.0, 3.0):
        digest.changed(a_grant(granted_fps=fps))
    assert tell(digest, 0.0) == [a_grant(granted_fps=3.0)]
    assert tell(digest, 100.0) == []


def test_a_camera_that_was_just_told_of_rests():
    digest = GrantDigest()
    digest.changed(a_grant())
    tell(digest, 0.0)
    digest.changed(a_grant(granted_fps=2.0))
    assert tell(digest, REST_S - 0.1) == []
    assert tell(digest, REST_S) == [a_grant(granted_fps=2.0)]


def test_small_changes_are_told_when_they_add_up():
    digest = GrantDigest()
    digest.changed(a_grant(granted_fps=4.0))
    tell(digest, 0.0)
    for step, fps in enumerate((3.95, 3.9, 3.85), start=1):
        digest.changed(a_grant(granted_fps=fps))
        assert tell(digest, step * 10.0) == []
    digest.changed(a_grant(granted_fps=3.8))
    assert tell(digest, 50.0) == [a_grant(granted_fps=3.8)]


def test_a_change_that_was_taken_back_before_it_was_told_is_none():
    digest = GrantDigest()
    digest.changed(a_grant())
    tell(digest, 0.0)
    digest.changed(a_grant(granted_fps=1.0))
    digest.changed(a_grant())
    assert tell(digest, 100.0) == []


@pytest.mark.parametrize("change", [a_grant(runtime_id="triton-2"), a_grant(granted_fps=0, reason="lost")])
def test_another_runtime_or_none_matters_whatever_the_rate(change):
    digest = GrantDigest()
    digest.changed(a_grant())
    tell(digest, 0.0)
    digest.changed(change)
    assert tell(digest, 100.0) == [change]


def test_of_a_camera_that_is_gone_nothing_is_told():
    digest = GrantDigest()
    digest.changed(a_grant())
    digest.forget("camera-1")
    assert tell(digest, 0.0) == []


async def test_what_the_database_could_not_take_is_told_when_it_can(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grants, "FLUSH_S", 0.001)
    answers: list[Exception | None] = [DatabaseError("away"), DatabaseError("away"), None]
    written: list[GrantChanged] = []

    async def record_grants(changes: Sequence[GrantChanged]) -> Sequence[Event]:
        if error := answers.pop(0):
            raise error
        written.extend(changes)
        return [event(number) for number, _ in enumerate(changes, start=1)]

    bus, counted = MemoryEventBus(), list[Event]()
    live = bus.listen()
    announcer = GrantAnnouncer(SimpleNamespace(record_grants=record_grants), bus, SystemClock(), counted.append)  # type: ignore[arg-type]
    announcer.changed(a_grant())
    task = asyncio.create_task(announcer.run())
    assert (await asyncio.wait_for(anext(live), 10)).number == 1
    task.cancel()
    assert written == [a_grant()]
    assert [each.number for each in counted] == [1]
