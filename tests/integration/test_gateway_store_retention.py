"""Evidence is kept within what the operator allows, on a real folder and database."""

import asyncio
import contextlib
import datetime as dt
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest

from gateway.app.beside import Beside
from gateway.domain.clock import SystemClock
from gateway.domain.retention import EvidenceQuery, RetentionPolicy
from gateway.domain.violation import (
    AuditAction,
    Evidence,
    Violation,
    ViolationOpened,
    ViolationPatch,
    ViolationStatus,
    evidence_folder,
)
from gateway.domain.webhook import WebhookSettings
from gateway.errors import DatabaseError, StoreError
from gateway.events.bus import MemoryEventBus
from gateway.store import retention
from gateway.store.engine import make_engine
from gateway.store.evidence import EvidenceFolder
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from gateway.store.retention import Retention
from gateway.store.s3_evidence import S3Evidence
from gateway.store.staged_evidence import StagedEvidence
from gateway.store.tables import TwinRow
from gateway.store.webhooks import PiccoloWebhooks
from tests.support.events import event
from tests.support.s3_server import private_s3
from tests.support.violations import a_violation

NOW = dt.datetime.now(dt.UTC)
RESOLVED = ViolationStatus.RESOLVED


class Disk(EvidenceFolder):
    """A folder on a disk whose use the test decides."""

    used: Callable[[], float] | None = None
    held: Callable[[], float] | None = None

    async def used_share(self) -> float:
        return self.used() if self.used else await super().used_share()

    async def held_share(self) -> float:
        return self.held() if self.held else await super().held_share()


@dataclass
class Keeper:
    store: PiccoloStore
    evidence: Disk | StagedEvidence
    deleted: Counter[str]

    async def record(self, days: float = 0.0, **changes: object) -> Violation:
        """Put a violation that is over on record, with two pictures of which one is superseded."""
        created_at = NOW - dt.timedelta(days=days)
        blank = a_violation()
        folder = evidence_folder(blank.id)
        names = [f"{folder}/{number}.jpg" for number in (1, 2)]
        hashes = [await self.evidence.put(name, b"picture") for name in names]
        fields = {"id": blank.id, "created_at": created_at, "ended_at": created_at, "status": RESOLVED}
        evidence = Evidence(name=names[1], sha256=hashes[1])
        violation = a_violation(**(fields | {"evidence": evidence, "clean_evidence": Evidence()} | changes))
        await self.store.apply([ViolationOpened(violation=violation)])
        return violation

    def retention(self, policy: RetentionPolicy, *, one_of_several: bool = False) -> Retention:
        return Retention(
            self.store,
            self.evidence,
            MemoryEventBus(),
            SystemClock(),
            policy,
            has=self.evidence.has if one_of_several else None,
            on_deleted=lambda kind, number: self.deleted.update({kind: number}),
        )

    async def enforce(self, policy: RetentionPolicy, *, one_of_several: bool = False) -> None:
        retention = self.retention(policy, one_of_several=one_of_several)
        while await retention.step():
            pass

    def has_files(self, violation: Violation) -> bool:
        return _folder(self.evidence, violation).exists()


def _folder(evidence: EvidenceFolder, violation: Violation) -> Path:
    return evidence._root / evidence_folder(violation.id)


def _used(evidence: EvidenceFolder, violations: list[Violation]) -> float:
    return 0.9 if _kept(evidence, violations) else 0.1


def _kept(evidence: EvidenceFolder, violations: list[Violation]) -> list[str]:
    return [violation.id for violation in violations if _folder(evidence, violation).exists()]


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    engine = make_engine(None, tmp_path)
    await migrate(engine)
    store = await PiccoloStore.open(engine, SystemClock())
    yield Keeper(store, Disk(tmp_path / "evidence"), Counter())
    await store.close()


async def test_age_counts_by_status_and_an_open_violation_keeps_its_evidence(keeper: Keeper):
    old = await keeper.record(days=40)
    young = await keeper.record(days=20)
    dismissed = await keeper.record(days=20, status=ViolationStatus.DISMISSED)
    acknowledged = await keeper.record(days=400, status=ViolationStatus.ACKNOWLEDGED)
    unseen = await keeper.record(days=400, status=ViolationStatus.OPEN)
    going_on = await keeper.record(days=400, ended_at=None)

    await keeper.enforce(RetentionPolicy(resolved_days=30, dismissed_days=7, disk_share=1.0))

    kept = {v.id: keeper.has_files(v) for v in (old, young, dismissed, acknowledged, unseen, going_on)}
    assert list(kept.values()) == [False, True, False, True, True, True]
    assert keeper.deleted == {"age": 2}
    gone = await keeper.store.violation(old.id)
    assert gone.evidence.name == ""
    assert "resolved violations of before" in gone.evidence.missing_reason


async def test_the_newest_of_each_camera_are_kept(keeper: Keeper):
    recorded = {camera: [await keeper.record(camera_id=camera) for _ in range(4)] for camera in ("a", "b")}
    await keeper.record(camera_id="a", status=ViolationStatus.OPEN)

    await keeper.enforce(RetentionPolicy(per_camera=3, disk_share=1.0))

    for violations in recorded.values():
        assert [keeper.has_files(violation) for violation in violations] == [False, True, True, True]
    assert keeper.deleted == {"count": 2}


async def test_evidence_in_a_bucket_goes_by_number_and_never_by_the_disk(keeper: Keeper, tmp_path: Path):
    with private_s3() as server:
        staged = StagedEvidence(EvidenceFolder(tmp_path / "staged"), S3Evidence(server.place("site")), 1 << 30)
        uploads = asyncio.create_task(staged.run())
        keeper.evidence = staged
        recorded = [await keeper.record() for _ in range(4)]
        while staged.staged.files:  # noqa: ASYNC110 - as an operator would look
            await asyncio.sleep(0.01)

        await keeper.enforce(RetentionPolicy(per_camera=3, disk_share=1e-9))
        kept = server.stored()
        uploads.cancel()
        await asyncio.wait({uploads})

    assert {key.split("/")[4] for key in kept} == {violation.id for violation in recorded[1:]}
    assert keeper.deleted == {"count": 1}


async def test_a_disk_that_is_too_full_loses_its_oldest_evidence_until_it_is_not(keeper: Keeper):
    violations = [await keeper.record() for _ in range(25)]
    unseen = await keeper.record(status=ViolationStatus.OPEN)
    keeper.evidence.held = lambda: 0.01 * sum(keeper.has_files(violation) for violation in violations)
    keeper.evidence.used = lambda: 0.8 + keeper.evidence.held()

    await keeper.enforce(RetentionPolicy(disk_share=0.96))

    assert [keeper.has_files(violation) for violation in violations] == [False] * 10 + [True] * 15
    assert keeper.has_files(unseen)


async def test_a_disk_that_others_fill_costs_no_evidence_and_is_told_once(
    keeper: Keeper, caplog: pytest.LogCaptureFixture
):
    violations = [await keeper.record() for _ in range(12)]
    keeper.evidence.held = lambda: 0.02
    keeper.evidence.used = lambda: 0.93
    retention = keeper.retention(RetentionPolicy(disk_share=0.9))

    assert not await retention.step()
    assert not await retention.step()

    assert all(map(keeper.has_files, violations))
    (warning,) = [record for record in caplog.records if "would not help" in record.getMessage()]
    assert {"used": "93.0%", "evidence": "2.0%", "allowed": "90%"}.items() <= vars(warning).items()


async def test_a_full_disk_of_open_violations_ends_in_a_warning_not_in_a_loop(keeper: Keeper):
    unseen = await keeper.record(status=ViolationStatus.OPEN)
    keeper.evidence.used = keeper.evidence.held = lambda: 1.0

    async with asyncio.timeout(30):
        await keeper.enforce(RetentionPolicy(disk_share=0.5))

    assert keeper.has_files(unseen)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (DatabaseError("it is away"), ""),
        (ZeroDivisionError("a bug"), "retention crashed: ZeroDivisionError, see the log"),
    ],
)
async def test_whatever_goes_wrong_retention_says_so_and_looks_again_and_of_a_bug_health_tells(
    keeper: Keeper, error: Exception, fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(retention, "EVERY_S", 0.01)
    looked_again = asyncio.Event()
    answers = iter([error])

    def used() -> float:
        for each in answers:
            raise each
        looked_again.set()
        return 0.5

    keeper.evidence.used = used
    beside = Beside("retention", keeper.retention(RetentionPolicy()).run, first_pause_s=0.01)
    running = asyncio.create_task(beside.run())
    await asyncio.wait_for(looked_again.wait(), 5)
    running.cancel()
    await asyncio.wait({running})
    assert beside.fault == fault
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) == 1


async def test_what_another_replica_recorded_of_a_violation_goes_with_it(keeper: Keeper):
    old = await keeper.record(days=40)
    twin = a_violation()
    await keeper.evidence.put(f"{evidence_folder(twin.id)}/1.jpg", b"picture")
    await TwinRow.insert(TwinRow(id=twin.id, violation_id=old.id))

    await keeper.enforce(RetentionPolicy(resolved_days=30, disk_share=1.0))

    assert not keeper.has_files(old)
    assert not keeper.has_files(twin)


@pytest.mark.parametrize(
    "policy",
    [
        RetentionPolicy(resolved_days=30, disk_share=1.0),
        RetentionPolicy(per_camera=1, disk_share=1.0),
        RetentionPolicy(disk_share=0.5),
    ],
    ids=["age", "count", "disk"],
)
async def test_each_of_several_gateways_lets_go_of_what_lies_with_it_and_of_nothing_else(
    keeper: Keeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: RetentionPolicy
):
    monkeypatch.setattr(retention, "STEP", 10)
    one, another = keeper.evidence, Disk(tmp_path / "another")
    recorded: dict[Disk, list[Violation]] = {one: [], another: []}
    for where in (another, one, another):
        keeper.evidence = where
        recorded[where] += [await keeper.record(days=40) for _ in range(12)]
    await keeper.record(days=1)  # the newest of all

    for where, others in ((one, another), (another, one)):
        keeper.evidence = where
        mine, theirs = recorded[where], recorded[others]
        where.used = where.held = partial(_used, where, mine)
        left = _kept(others, theirs)
        async with asyncio.timeout(30):
            await keeper.enforce(policy, one_of_several=True)
        assert _kept(where, mine) == []
        assert _kept(others, theirs) == left
        on_record = [await keeper.store.violation(violation.id) for violation in theirs]
        assert [violation.id for violation in on_record if violation.evidence.name] == left


@pytest.mark.parametrize("one_of_several", [False, True])
@pytest.mark.parametrize(
    ("breaks", "error"),
    [
        ("store.forget_evidence", DatabaseError("the database is away")),
        ("store.evidence_forgotten", DatabaseError("the database is away")),
        ("evidence.delete", StoreError("the disk is away")),
        ("store.note_deleted", DatabaseError("the database is away")),
    ],
)
async def test_what_is_broken_off_anywhere_is_finished_by_the_next_life_and_no_record_names_what_is_gone(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, breaks: str, error: StoreError, one_of_several: bool
):
    old = await keeper.record(days=40)
    policy = RetentionPolicy(resolved_days=30, disk_share=1.0)

    async def away(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch, contextlib.suppress(StoreError):
        patch.setattr(attrgetter(breaks.rpartition(".")[0])(keeper), breaks.rpartition(".")[2], away)
        await keeper.retention(policy, one_of_several=one_of_several).step()
        pytest.fail("nothing was broken off")
    assert keeper.has_files(old) >= bool((await keeper.store.violation(old.id)).evidence.name)

    await keeper.enforce(policy, one_of_several=one_of_several)
    assert not keeper.has_files(old)
    assert "deleted on" in (await keeper.store.violation(old.id)).evidence.missing_reason
    assert [entry.action for entry in await keeper.store.audit(old.id)].count(AuditAction.EVIDENCE_DELETED) == 1


async def test_a_gateway_leaves_what_another_has_noted_as_deleted_and_has_not_deleted_yet(
    keeper: Keeper, tmp_path: Path
):
    old = await keeper.record(days=40)
    await keeper.store.forget_evidence([old.id], "it was a test")
    mine, policy = keeper.evidence, RetentionPolicy(disk_share=1.0)

    keeper.evidence = Disk(tmp_path / "another")
    await keeper.enforce(policy, one_of_several=True)
    keeper.evidence = mine
    assert keeper.has_files(old)

    await keeper.enforce(policy, one_of_several=True)
    assert not keeper.has_files(old)
    assert await keeper.store.evidence_forgotten() == {}


async def test_a_violation_that_is_opened_again_before_its_files_go_keeps_them(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
):
    reopened, old = await keeper.record(days=40), await keeper.record(days=40)
    choose = keeper.store.evidence_kept

    async def choose_and_reopen(query: EvidenceQuery) -> Sequence[Violation]:
        chosen = await choose(query)
        await keeper.store.patch_violation(reopened.id, ViolationPatch(status=ViolationStatus.OPEN, by="anna"))
        return chosen

    monkeypatch.setattr(keeper.store, "evidence_kept", choose_and_reopen)
    await keeper.enforce(RetentionPolicy(resolved_days=30, disk_share=1.0))

    assert [keeper.has_files(each) for each in (reopened, old)] == [True, False]
    assert (await keeper.store.violation(reopened.id)).evidence == reopened.evidence
    assert keeper.deleted == {"age": 1}


@pytest.mark.parametrize("one_of_several", [False, True])
@pytest.mark.parametrize("files_in_the_way", [1, 12, 23])
async def test_a_disk_that_is_too_full_to_note_anything_heals_by_itself_and_no_record_lies_for_good(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, files_in_the_way: int, one_of_several: bool
):
    violations = [await keeper.record() for _ in range(25)]
    unseen = await keeper.record(status=ViolationStatus.OPEN)
    room_for = len(violations) - files_in_the_way

    def pictures() -> int:
        return sum((keeper.evidence._root / violation.evidence.name).exists() for violation in violations)

    def full_unless_room(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def write(*args: object) -> object:
            if pictures() > room_for:
                cause = sqlite3.OperationalError("database or disk is full")
                cause.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise DatabaseError("it is full") from cause
            return await function(*args)

        return write

    for name in ("forget_evidence", "note_deleted", "trim_events"):
        monkeypatch.setattr(keeper.store, name, full_unless_room(getattr(keeper.store, name)))
    keeper.evidence.used = keeper.evidence.held = lambda: 0.7 + 0.3 * min(1, pictures() / max(1, room_for))
    retention = keeper.retention(RetentionPolicy(disk_share=0.9), one_of_several=one_of_several)
    for _ in range(6):
        with contextlib.suppress(DatabaseError):
            await retention.step()

    gone = len(violations) - pictures()
    assert files_in_the_way <= gone < files_in_the_way + 20
    on_record = [await keeper.store.violation(violation.id) for violation in violations]
    assert [bool(violation.evidence.name) for violation in on_record] == [False] * gone + [True] * (25 - gone)
    assert keeper.has_files(unseen)
    assert keeper.deleted == {"disk": gone}


async def test_a_full_disk_costs_no_evidence_where_the_database_refuses_for_another_reason(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
):
    old = await keeper.record()
    keeper.evidence.used = keeper.evidence.held = lambda: 1.0

    async def refuse(*_: object) -> None:
        raise DatabaseError("it is read-only") from sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(keeper.store, "forget_evidence", refuse)
    with pytest.raises(DatabaseError, match="read-only"):
        await keeper.retention(RetentionPolicy()).step()
    assert keeper.has_files(old)


async def test_where_nothing_could_be_let_go_nothing_is_counted_or_logged(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    await keeper.record(days=40)

    async def forget(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(keeper.store, "forget_evidence", forget)
    caplog.set_level("INFO")
    await keeper.retention(RetentionPolicy(resolved_days=30, disk_share=1.0)).step()

    assert list(keeper.deleted) == []
    assert "evidence deleted" not in caplog.text


async def test_what_was_broken_off_between_file_and_row_is_finished_by_the_next_run(keeper: Keeper):
    old = await keeper.record(days=40)
    await keeper.evidence.delete(evidence_folder(old.id))

    await keeper.enforce(RetentionPolicy(resolved_days=30, disk_share=1.0))

    assert (await keeper.store.violation(old.id)).evidence.name == ""


async def test_dead_letters_go_at_the_age_of_events(keeper: Keeper, monkeypatch: pytest.MonkeyPatch):
    webhooks = PiccoloWebhooks(keeper.store.engine, SystemClock())
    hook = await webhooks.create(WebhookSettings(url="https://receiver.example/", secret="a secret of theirs"))
    for number, age in ((1, 40), (2, 20)):
        _set_clock(monkeypatch, -dt.timedelta(days=age))
        await webhooks.bury(hook.id, event(number), 5, "answered 404")
    _set_clock(monkeypatch, dt.timedelta())

    await keeper.enforce(RetentionPolicy(event_days=30, disk_share=1.0))

    assert [letter.event.number for letter in await webhooks.dead_letters(hook.id, 0, 10)] == [2]


async def test_nothing_goes_for_its_age_while_the_clock_is_a_year_ahead_and_that_is_told_once(
    keeper: Keeper, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    young, surplus = await keeper.record(days=1), await keeper.record(days=1)
    old = await keeper.record(days=400, camera_id="another")
    rules = keeper.retention(RetentionPolicy(resolved_days=30, per_camera=1, event_days=30, disk_share=1.0))
    _set_clock(monkeypatch, dt.timedelta(days=365))
    while await rules.step():
        pass
    assert [keeper.has_files(each) for each in (young, surplus, old)] == [False, True, True], "number counts on"
    assert len(await keeper.store.events_after(0, 10)) == 4
    (warning,) = [record for record in caplog.records if "stepped" in record.getMessage()]
    assert vars(warning)["stepped_by"] == "365 days, 0:00:00"

    _set_clock(monkeypatch, dt.timedelta())
    while await rules.step():
        pass
    assert [keeper.has_files(each) for each in (surplus, old)] == [True, False]
    assert len(await keeper.store.events_after(0, 10)) == 5


def _set_clock(monkeypatch: pytest.MonkeyPatch, ahead: dt.timedelta) -> None:
    monkeypatch.setattr(SystemClock, "utcnow", lambda _: dt.datetime.now(dt.UTC) + ahead)
