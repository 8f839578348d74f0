"""What an owner that lost its camera may still say, on PostgreSQL: evidence is taken, state is not, nothing doubles."""

import datetime as dt
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from gateway.domain.camera import CameraSettings
from gateway.domain.definitions import ZonePresence
from gateway.domain.event import EventType
from gateway.domain.lease import CameraStates, Taken
from gateway.domain.rule import Rule, RuleSettings
from gateway.domain.violation import (
    AuditAction,
    Violation,
    ViolationClosed,
    ViolationOpened,
    ViolationPatch,
    ViolationQuery,
    ViolationStatus,
)
from gateway.store.engine import make_engine
from gateway.store.leases import PostgresLeases
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from tests.support.postgres import PrivatePostgres
from tests.support.violations import NOON, a_violation, clip_taken, updated

GAP_S = 10.0


class Site:
    """A camera with a rule, and replicas that take it from one another."""

    def __init__(self, store: PiccoloStore, rule: Rule) -> None:
        self.store = store
        self.rule = rule
        self.epoch = 0

    async def change_hands(self) -> int:
        """Another replica takes the camera; its epoch."""
        leases = PostgresLeases(self.store.engine, f"replica{self.epoch}", 60)
        await leases.look()
        (taken,) = await leases.take({self.rule.camera_id: -1})
        self.epoch = taken.epoch
        self.leave = leases.leave
        return self.epoch

    async def taken_over(self) -> Taken:
        """The same, and what it got."""
        await self.leave()
        leases = PostgresLeases(self.store.engine, f"replica{self.epoch}", 60)
        await leases.look()
        (taken,) = await leases.take({self.rule.camera_id: -1})
        self.epoch, self.leave = taken.epoch, leases.leave
        return taken

    async def say(self, *records: ViolationOpened | ViolationClosed, open_ids: tuple[str, ...] = ()) -> list[EventType]:
        """What the owner drains, with states that hold these violations open; the events it led to."""
        states = CameraStates(
            camera_id=self.rule.camera_id,
            epoch=max(record.epoch for record in records),
            version=1,
            states={self.rule.id: msgspec.json.encode(open_ids)},
        )
        return [event.type for event in await self.store.apply(records, [states])]

    def seen(self, at_s: float, epoch: int, **changes: object) -> ViolationOpened:
        """An episode that began some seconds after noon."""
        began = NOON + dt.timedelta(seconds=at_s)
        fields: Mapping[str, object] = {
            "camera_id": self.rule.camera_id,
            "rule_id": self.rule.id,
            "rule_revision": self.rule.revision,
            "started_at": began,
            "frame_at": began,
        }
        return ViolationOpened(violation=a_violation(**{**fields, **changes}), epoch=epoch)

    async def violations(self) -> list[Violation]:
        """Those on record, oldest first."""
        return list(await self.store.violations(ViolationQuery()))[::-1]


def ended(violation: Violation, at_s: float, epoch: int, *, cut_off: bool = False) -> ViolationClosed:
    """The end of an episode, some seconds after noon."""
    end = NOON + dt.timedelta(seconds=at_s)
    return ViolationClosed(id=violation.id, ended_at=end, score=0.9, at=end, cut_off=cut_off, epoch=epoch)


@pytest.fixture
async def site(postgres: PrivatePostgres, tmp_path: Path) -> AsyncIterator[Site]:
    engine = make_engine(postgres.new_database(), tmp_path, pool_size=4)
    await migrate(engine)
    store = await PiccoloStore.open(engine)
    camera = await store.create_camera(CameraSettings(name="yard", url="push:", model="people"))
    rule = await store.create_rule(camera.id, RuleSettings(name="nobody", definition=ZonePresence(max_gap_s=GAP_S)))
    site = Site(store, rule)
    await site.change_hands()
    yield site
    await store.close()


async def test_what_an_earlier_owner_brings_late_is_the_beginning_of_what_the_new_one_saw(site: Site) -> None:
    early = site.seen(0, site.epoch)
    end = ended(early.violation, 4, site.epoch, cut_off=True)
    await site.taken_over()
    later = site.seen(9, site.epoch)
    assert await site.say(later, open_ids=(later.violation.id,)) == [EventType.VIOLATION_OPENED]

    for expected in ([EventType.VIOLATION_UPDATED], []):
        assert await site.say(early, end) == expected

    (violation,) = await site.violations()
    assert (violation.id, violation.started_at, violation.ended_at) == (later.violation.id, NOON, None)
    assert await site.store.violation(early.violation.id) == violation
    merged = [entry for entry in await site.store.audit(violation.id) if entry.action is AuditAction.MERGED]
    assert [early.violation.id in entry.note for entry in merged] == [True]
    assert await site.store.twin_ids([violation.id, "none"]) == {violation.id: [early.violation.id]}


async def test_a_twins_id_leads_to_the_violation_that_people_change(site: Site) -> None:
    early = site.seen(0, site.epoch)
    await site.taken_over()
    later = site.seen(9, site.epoch)
    await site.say(later, open_ids=(later.violation.id,))
    await site.say(early, ended(early.violation, 4, early.epoch, cut_off=True))

    patch = ViolationPatch(status=ViolationStatus.RESOLVED, note="seen", by="Ana")
    patched, event = await site.store.patch_violation(early.violation.id, patch)

    assert (patched.id, patched.status) == (later.violation.id, ViolationStatus.RESOLVED)
    assert event.said()["id"] == later.violation.id
    assert await site.store.violation(early.violation.id) == patched
    audit = await site.store.audit(later.violation.id)
    assert [entry.action for entry in audit if entry.actor == "Ana"] == [AuditAction.RESOLVED, AuditAction.NOTED]


async def test_what_the_new_owner_opens_anew_goes_on_as_what_the_earlier_one_had_opened(site: Site) -> None:
    early = site.seen(0, site.epoch)
    end = ended(early.violation, 4, site.epoch, cut_off=True)
    await site.taken_over()
    await site.say(early, end)
    later = site.seen(9, site.epoch)

    for expected in ([EventType.VIOLATION_UPDATED], []):
        assert await site.say(later, open_ids=(later.violation.id,)) == expected
    (violation,) = await site.violations()
    assert (violation.id, violation.ended_at) == (early.violation.id, None)

    clip = clip_taken(later.violation)
    better = msgspec.structs.replace(updated(later.violation, after_s=20), epoch=site.epoch)
    await site.store.apply([better, clip, ended(later.violation, 30, site.epoch)])
    (violation,) = await site.violations()
    assert violation.ended_at == NOON + dt.timedelta(seconds=30)
    assert (violation.clip, violation.evidence) == (clip.clip, better.evidence)


async def test_an_earlier_owner_can_not_end_what_the_new_one_follows(site: Site) -> None:
    first = site.epoch
    record = site.seen(0, first)
    await site.say(record, open_ids=(record.violation.id,))
    await site.taken_over()

    for cut_off in (False, True):
        assert await site.say(ended(record.violation, 3, first, cut_off=cut_off)) == []
    stale = msgspec.structs.replace(updated(record.violation, after_s=3), epoch=first)
    assert list(await site.store.apply([stale])) == []
    assert await site.say(ended(record.violation, 8, site.epoch)) == [EventType.VIOLATION_CLOSED]
    (violation,) = await site.violations()
    assert violation.ended_at == NOON + dt.timedelta(seconds=8)


async def test_what_is_cut_off_stays_open_for_whoever_takes_the_camera_next(site: Site) -> None:
    record = site.seen(0, site.epoch)
    await site.say(record, open_ids=(record.violation.id,))
    end = ended(record.violation, 3, site.epoch, cut_off=True)
    await site.leave()
    assert list(await site.store.apply([end])) == []
    taken = await site.taken_over()
    assert taken.states is not None
    assert record.violation.id.encode() in taken.states[site.rule.id]


async def test_an_episode_beyond_the_gap_window_is_another_one(site: Site) -> None:
    first = site.epoch
    early = site.seen(0, first)
    await site.taken_over()
    later = site.seen(4 + GAP_S + 1, site.epoch)
    await site.say(later, open_ids=(later.violation.id,))
    await site.say(early, ended(early.violation, 4, first, cut_off=True))
    third = site.seen(60, await _next(site))
    await site.say(third, open_ids=(third.violation.id,))
    assert [v.id for v in await site.violations()] == sorted(r.violation.id for r in (early, later, third))


async def test_episodes_that_were_over_or_broke_another_revision_have_no_twin(site: Site) -> None:
    first = site.epoch
    over, other = site.seen(0, first), site.seen(0, first, rule_revision=site.rule.revision + 1)
    await site.taken_over()
    later = site.seen(5, site.epoch)
    await site.say(later, open_ids=(later.violation.id,))
    await site.say(over, ended(over.violation, 4, first), other, ended(other.violation, 4, first, cut_off=True))
    assert len(await site.violations()) == 3


async def test_of_two_episodes_at_once_each_finds_a_twin_of_its_own(site: Site) -> None:
    first = site.epoch
    early = [site.seen(each, first) for each in (0, 1)]
    await site.taken_over()
    later = [site.seen(each, site.epoch) for each in (6, 7)]
    await site.say(*later, open_ids=tuple(each.violation.id for each in later))
    await site.say(*early, *(ended(each.violation, 4, first, cut_off=True) for each in early))
    assert [v.id for v in await site.violations()] == [each.violation.id for each in later]

    second = site.epoch
    await site.taken_over()
    await site.store.apply([ended(each.violation, 20, second, cut_off=True) for each in later])
    again = [site.seen(each, site.epoch) for each in (26, 27)]
    await site.say(*again, open_ids=tuple(each.violation.id for each in again))
    assert len(await site.violations()) == 2 + 2, "their states held the first two, so that the new ones are others"


async def _next(site: Site) -> int:
    await site.taken_over()
    return site.epoch
