"""What `Store` promises, on SQLite, on PostgreSQL, and on PostgreSQL behind PgBouncer in transaction mode."""

import asyncio
import contextlib
import contextvars
import datetime as dt
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from piccolo.querystring import QueryString

from gateway.domain.camera import CameraSettings
from gateway.domain.clock import SystemClock
from gateway.domain.definitions import ZonePresence
from gateway.domain.event import EventType
from gateway.domain.lease import CameraStates
from gateway.domain.ports import Store
from gateway.domain.retention import EvidenceQuery
from gateway.domain.rule import RuleSettings, Severity
from gateway.domain.violation import ViolationOpened, ViolationPatch, ViolationQuery, ViolationStatus
from gateway.errors import DatabaseError, NotFoundError
from gateway.store.engine import make_engine
from gateway.store.migrate import migrate
from gateway.store.piccolo_store import PiccoloStore
from tests.support.events import a_grant
from tests.support.postgres import PGBOUNCER, PrivatePostgres, private_postgres
from tests.support.violations import NOON, a_violation, clip_taken, closed, opened, updated

YARD = CameraSettings(
    name="Yard",
    url="rtsp://10.0.0.1/main",
    model="people",
    fps=2.5,
    clip_after_s=12.0,
    masks=(((0.0, 0.0), (0.5, 0.0), (0.0, 0.25)),),
)
RULE = RuleSettings(
    name="Nobody in the yard",
    definition=ZonePresence(zone=((0.1, 0.2), (0.9, 0.2), (0.5, 0.95)), min_duration_s=1.5),
    severity=Severity.CRITICAL,
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres", pytest.param("pgbouncer", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    with _database(request) as url:
        engine = make_engine(url, tmp_path, pool_size=4)
        await migrate(engine)
        opened_store = await PiccoloStore.open(engine, SystemClock())
        yield opened_store
        await opened_store.close()


@contextlib.contextmanager
def _database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """URL of a new database; None for SQLite's own."""
    if request.param == "sqlite":
        yield None
        return
    server: PrivatePostgres = request.getfixturevalue("postgres")
    if request.param == "postgres":
        yield server.new_database()
        return
    if not PGBOUNCER and not os.environ.get("CI"):
        pytest.skip("PgBouncer isn't installed")
    with server.pooled() as url:
        yield url


async def test_the_database_answers(store: Store) -> None:
    await store.ping()


async def test_a_camera_is_kept_with_all_its_settings(store: Store) -> None:
    created = await store.create_camera(YARD)

    assert created.settings == YARD
    assert await store.camera(created.id) == created
    assert created.created_at.tzinfo is not None


async def test_cameras_are_listed_oldest_first(store: Store) -> None:
    ids = [(await store.create_camera(YARD)).id for _ in range(5)]

    assert [camera.id for camera in await store.cameras()] == ids


async def test_a_camera_can_be_changed_and_keeps_its_time_of_creation(store: Store) -> None:
    created = await store.create_camera(YARD)
    settings = msgspec.structs.replace(YARD, name="Gate", enabled=False)

    updated = await store.update_camera(created.id, settings)

    assert updated.settings == settings
    assert updated.created_at == created.created_at
    assert updated.updated_at >= created.updated_at
    assert await store.camera(created.id) == updated


async def test_a_rule_comes_back_as_it_was_given(store: Store) -> None:
    camera = await store.create_camera(YARD)

    rule = await store.create_rule(camera.id, RULE)

    assert rule.settings == RULE
    assert rule.revision == 1
    assert await store.rule(camera.id, rule.id) == rule


async def test_each_change_of_a_rule_raises_its_revision(store: Store) -> None:
    camera = await store.create_camera(YARD)
    rule = await store.create_rule(camera.id, RULE)

    await store.update_rule(camera.id, rule.id, RULE)
    updated = await store.update_rule(camera.id, rule.id, msgspec.structs.replace(RULE, enabled=False))

    assert updated.revision == 3
    assert not updated.settings.enabled
    assert await store.rule(camera.id, rule.id) == updated


async def test_rules_are_listed_for_one_camera_or_for_all(store: Store) -> None:
    first, second = await store.create_camera(YARD), await store.create_camera(YARD)
    rules = [await store.create_rule(camera.id, RULE) for camera in (first, second, first)]

    assert list(await store.rules()) == rules
    assert list(await store.rules(first.id)) == [rules[0], rules[2]]


async def test_deleting_a_camera_takes_its_rules_and_leaves_its_violations(store: Store) -> None:
    camera, other = await store.create_camera(YARD), await store.create_camera(YARD)
    await store.create_rule(camera.id, RULE)
    kept = await store.create_rule(other.id, RULE)
    record = opened(camera_id=camera.id)
    await store.apply([record])

    await store.delete_camera(camera.id)

    assert list(await store.rules()) == [kept]
    assert await store.violation(record.violation.id) == record.violation


async def test_a_rule_can_be_deleted(store: Store) -> None:
    camera = await store.create_camera(YARD)
    rule = await store.create_rule(camera.id, RULE)

    await store.delete_rule(camera.id, rule.id)

    assert not await store.rules()


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    camera, other = await store.create_camera(YARD), await store.create_camera(YARD)
    rule = await store.create_rule(camera.id, RULE)
    calls = [
        store.camera("none"),
        store.update_camera("none", YARD),
        store.delete_camera("none"),
        store.create_rule("none", RULE),
        store.rule(other.id, rule.id),
        store.update_rule(other.id, rule.id, RULE),
        store.delete_rule(other.id, rule.id),
        store.violation("none"),
        store.patch_violation("none", ViolationPatch(note="x")),
    ]

    for call in calls:
        with pytest.raises(NotFoundError):
            await call


async def test_a_violation_comes_back_field_by_field(store: Store) -> None:
    full = a_violation(ended_at=NOON + dt.timedelta(seconds=2), note="a ladder")
    bare = a_violation(track_id=None)
    await store.apply([ViolationOpened(violation=full), ViolationOpened(violation=bare)])

    assert await store.violation(full.id) == full
    assert await store.violation(bare.id) == bare


async def test_records_applied_again_change_nothing_and_give_no_event(store: Store) -> None:
    record = opened()
    batch = [record, closed(record.violation), opened()]

    first = await store.apply(batch)
    stored = await store.violation(record.violation.id)
    second = await store.apply(batch)

    assert [event.type for event in first] == [
        EventType.VIOLATION_OPENED,
        EventType.VIOLATION_CLOSED,
        EventType.VIOLATION_OPENED,
    ]
    assert list(second) == []
    assert await store.violation(record.violation.id) == stored
    assert await store.last_event_number() == first[-1].number


async def test_a_record_that_comes_twice_in_a_batch_gives_one_event(store: Store) -> None:
    record = opened()
    end = closed(record.violation)

    events = await store.apply([record, record, end, end])

    assert [event.type for event in events] == [EventType.VIOLATION_OPENED, EventType.VIOLATION_CLOSED]


async def test_mixed_records_of_many_violations_are_applied_in_their_order(store: Store) -> None:
    violations = [a_violation() for _ in range(20)]
    steps = [
        [make(violation) for violation in violations] for make in (updated, clip_taken, lambda v: closed(v, score=0.99))
    ]
    await store.apply([ViolationOpened(violation=violations[0])])

    events = await store.apply(
        [
            *(ViolationOpened(violation=violation) for violation in violations),
            *chain.from_iterable(zip(*steps, strict=True)),
        ]
    )

    assert [event.said()["id"] for event in events[:19]] == [violation.id for violation in violations[1:]]
    assert [event.said()["id"] for event in events[19:]] == [v.id for v in violations for _ in steps]
    assert [event.type.value for event in events[19:22]] == ["violation.updated"] * 2 + ["violation.closed"]
    assert [event.said()["score"] for event in events[19:22]] == [0.95, 0.95, 0.99]
    assert [event.number for event in events] == list(range(events[0].number, events[0].number + len(events)))
    assert {(await store.violation(violation.id)).score for violation in violations} == {0.99}


async def test_records_that_two_apply_at_once_are_there_once(store: Store) -> None:
    batch = [opened() for _ in range(50)]

    answers = await asyncio.gather(store.apply(batch), store.apply(batch), return_exceptions=True)
    again = await store.apply(batch)

    assert all(isinstance(answer, list | DatabaseError) for answer in answers)
    assert len(list(chain.from_iterable(answer for answer in answers if isinstance(answer, list)))) == 50
    assert list(again) == []
    assert await store.count_by_status() == {"open": 50}
    assert len(await store.events_after(0, 500)) == 50


async def test_an_end_sets_time_and_peak_score_once(store: Store) -> None:
    record = opened()
    await store.apply([record])

    await store.apply([closed(record.violation, after_s=5, score=0.9)])
    await store.apply([closed(record.violation, after_s=50, score=0.1)])

    violation = await store.violation(record.violation.id)
    assert violation.ended_at == NOON + dt.timedelta(seconds=5)
    assert violation.score == 0.9


async def test_records_and_states_of_a_replica_are_taken_by_any_database(store: Store) -> None:
    record = msgspec.structs.replace(opened(), epoch=3)
    end = msgspec.structs.replace(closed(record.violation), epoch=3, cut_off=True)
    states = CameraStates(camera_id=record.violation.camera_id, epoch=3, states={"rule": b"{}"}, version=1)

    for expected in ([EventType.VIOLATION_OPENED, EventType.VIOLATION_CLOSED], []):
        assert [event.type for event in await store.apply([record, end], [states])] == expected
    assert (await store.violation(record.violation.id)).ended_at == end.ended_at


async def test_a_better_frame_and_a_clip_change_a_violation_once_each(store: Store) -> None:
    record = opened()
    await store.apply([record])
    batch = [updated(record.violation), clip_taken(record.violation)]

    events = await store.apply([*batch, *batch])
    again = await store.apply(batch)

    assert [event.type for event in events] == [EventType.VIOLATION_UPDATED] * 2
    assert list(again) == []
    changed = await store.violation(record.violation.id)
    expected = {name: getattr(batch[0], name) for name in batch[0].__struct_fields__ if name not in ("at", "epoch")}
    assert changed == msgspec.structs.replace(record.violation, **expected, clip=batch[1].clip, updated_at=batch[1].at)


async def test_a_frame_that_is_older_than_the_best_one_changes_nothing(store: Store) -> None:
    record = opened()
    await store.apply([record, updated(record.violation, after_s=8)])

    assert list(await store.apply([updated(record.violation, after_s=4)])) == []


async def test_the_audit_tells_who_did_what_in_which_order(store: Store) -> None:
    record = opened()
    await store.apply([record])
    await store.apply([record])
    for patch in (
        ViolationPatch(status=ViolationStatus.ACKNOWLEDGED, by="Ana"),
        ViolationPatch(status=ViolationStatus.DISMISSED, note="a coat\0", by="Bo"),
        ViolationPatch(status=ViolationStatus.OPEN, by="Ana"),
    ):
        await store.patch_violation(record.violation.id, patch)

    entries = await store.audit(record.violation.id)

    assert [(entry.actor, entry.action.value, entry.note) for entry in entries] == [
        ("gateway", "created", ""),
        ("Ana", "acknowledged", ""),
        ("Bo", "dismissed", ""),
        ("Bo", "noted", "a coat\N{REPLACEMENT CHARACTER}"),
        ("Ana", "reopened", ""),
    ]
    assert entries[0].at == record.violation.created_at
    assert entries[1].at < entries[4].at
    assert list(await store.audit("none")) == []


@pytest.mark.parametrize("change", ["UPDATE violation_audit SET actor = 'nobody'", "DELETE FROM violation_audit"])
async def test_the_database_refuses_to_change_the_audit(store: PiccoloStore, change: str) -> None:
    await store.apply([opened()])

    with pytest.raises(Exception, match="never changed"):
        await store._engine.run_querystring(QueryString(change))


async def test_the_end_of_an_unknown_violation_is_passed_over(store: Store) -> None:
    assert list(await store.apply([closed(a_violation()), opened()])) != []


async def test_changed_grants_are_events_in_order_with_the_others(store: Store) -> None:
    before = await store.apply([opened()])
    changes = [a_grant(f"camera-{i}") for i in range(3)]

    events = await store.record_grants(changes)

    assert [event.camera_id for event in events] == ["camera-0", "camera-1", "camera-2"]
    assert {event.type for event in events} == {EventType.CAMERA_GRANT_CHANGED}
    assert events[0].said() == msgspec.to_builtins(changes[0])
    assert list(await store.events_after(before[0].number, 10)) == list(events)
    assert list(await store.record_grants([])) == []


async def test_a_batch_larger_than_a_statement_is_one_transaction(store: Store) -> None:
    records = [opened() for _ in range(1100)]

    events = await store.apply(records)

    assert [event.said()["id"] for event in events] == [record.violation.id for record in records]
    assert await store.count_by_status() == {"open": 1100}


async def test_a_label_with_a_nul_character_does_not_hold_up_the_others(store: Store) -> None:
    await store.apply([opened(label="per\0son"), opened()])

    assert await store.count_by_status() == {"open": 2}


async def test_a_patch_changes_what_it_names_and_writes_an_event(store: Store) -> None:
    record = opened()
    (first,) = await store.apply([record])

    patched, event = await store.patch_violation(
        record.violation.id, ViolationPatch(status=ViolationStatus.ACKNOWLEDGED)
    )
    again, _ = await store.patch_violation(record.violation.id, ViolationPatch(note="seen"))

    assert patched.status is ViolationStatus.ACKNOWLEDGED
    assert again.status is ViolationStatus.ACKNOWLEDGED
    assert again.note == "seen"
    assert again.updated_at > record.violation.updated_at
    assert await store.violation(record.violation.id) == again
    assert event.type is EventType.VIOLATION_UPDATED
    assert event.number > first.number
    assert event.said()["status"] == "acknowledged"


async def test_a_violation_applied_again_keeps_what_a_person_changed(store: Store) -> None:
    record = opened()
    await store.apply([record])
    await store.patch_violation(record.violation.id, ViolationPatch(status=ViolationStatus.RESOLVED))

    await store.apply([record, closed(record.violation)])

    assert (await store.violation(record.violation.id)).status is ViolationStatus.RESOLVED


async def test_violations_are_listed_newest_first_by_pages(store: Store) -> None:
    records = [opened() for _ in range(7)]
    await store.apply(records)
    expected = [record.violation for record in reversed(records)]

    first = await store.violations(ViolationQuery(limit=4))
    second = await store.violations(ViolationQuery(limit=4, before_id=first[-1].id))

    assert [*first, *second] == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (ViolationQuery(camera_id="b"), [1]),
        (ViolationQuery(type="fall"), [2]),
        (ViolationQuery(status=ViolationStatus.DISMISSED), [3]),
        (ViolationQuery(started_from=NOON + dt.timedelta(seconds=2)), [3, 2]),
        (ViolationQuery(started_to=NOON + dt.timedelta(seconds=2)), [1, 0]),
        (ViolationQuery(started_from=NOON, started_to=NOON + dt.timedelta(milliseconds=1)), [0]),
        (ViolationQuery(camera_id="b", type="fall"), []),
        (ViolationQuery(started_from=NOON.astimezone(dt.timezone(dt.timedelta(hours=5)))), [3, 2, 1, 0]),
    ],
)
async def test_violations_can_be_filtered(store: Store, query: ViolationQuery, expected: list[int]) -> None:
    changes: list[dict[str, object]] = [{}, {"camera_id": "b"}, {"type": "fall"}, {"status": ViolationStatus.DISMISSED}]
    records = [
        opened(**change, started_at=NOON + dt.timedelta(seconds=second)) for second, change in enumerate(changes)
    ]
    await store.apply(records)

    found = await store.violations(query)

    assert [violation.id for violation in found] == [records[index].violation.id for index in expected]


async def test_violations_are_counted_by_status(store: Store) -> None:
    await store.apply([opened(), opened(), opened(status=ViolationStatus.RESOLVED)])

    assert await store.count_by_status() == {"open": 2, "resolved": 1}


async def test_events_are_read_back_as_they_were_given_out(store: Store) -> None:
    assert await store.last_event_number() == 0
    record = opened()
    written = [*await store.apply([record, opened()]), *await store.apply([closed(record.violation)])]

    assert list(await store.events_after(0, 10)) == written
    assert list(await store.events_after(written[0].number, 1)) == [written[1]]
    assert list(await store.events_after(written[-1].number, 10)) == []
    assert await store.last_event_number() == written[-1].number
    assert written[0].said() == msgspec.json.decode(msgspec.json.encode(record.violation))


async def test_old_events_are_trimmed_in_steps_and_the_newest_stays(store: Store) -> None:
    written = await store.apply([opened() for _ in range(10)])
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)

    assert await store.trim_events(NOON - dt.timedelta(days=3650), 100) == 0
    assert await store.trim_events(later, 4) == 4
    assert list(await store.events_after(0, 100)) == list(written[4:])
    assert await store.trim_events(later, 100) == 5
    assert await store.trim_events(later, 100) == 0
    assert list(await store.events_after(0, 100)) == [written[-1]]
    (after,) = await store.apply([opened()])
    assert after.number > written[-1].number


async def test_violations_that_go_on_can_be_asked_for(store: Store) -> None:
    ended, first, second = opened(), opened(camera_id="gate"), opened(camera_id="yard")
    await store.apply([ended, first, second])
    await store.apply([closed(ended.violation)])
    going_on = await store.violations(ViolationQuery(ongoing=True))
    assert [each.id for each in going_on] == [second.violation.id, first.violation.id]
    at_the_gate = await store.violations(ViolationQuery(ongoing=True, camera_id="gate"))
    assert [each.id for each in at_the_gate] == [first.violation.id]


async def test_whoever_goes_on_from_before_trimmed_events_is_told(store: Store) -> None:
    written = await store.apply([opened() for _ in range(6)])
    numbers = [event.number for event in written]
    assert await store.events_missed(0, numbers[0]) is None
    assert await store.trim_events(dt.datetime.now(dt.UTC) + dt.timedelta(days=1), 3) == 3

    missed = await store.events_missed(numbers[0], numbers[3])
    assert missed is not None
    assert (missed.number, missed.type) == (numbers[2], EventType.EVENTS_MISSED)
    assert missed.said() == {"after": numbers[0], "through": numbers[2]}
    assert await store.events_missed(numbers[2], numbers[3]) is None
    read_before_the_trim = await store.events_missed(0, numbers[1])
    assert read_before_the_trim is not None
    assert read_before_the_trim.said() == {"after": 0, "through": numbers[0]}


HANDLED = ViolationStatus.RESOLVED


async def test_only_evidence_of_violations_that_are_handled_and_over_may_go(store: Store) -> None:
    over = {"ended_at": NOON + dt.timedelta(seconds=3)}
    records = [
        opened(**over, status=HANDLED),
        opened(**over),
        opened(status=HANDLED),
        opened(**over, status=HANDLED, camera_id="b", created_at=NOON + dt.timedelta(days=2)),
        opened(**over, status=ViolationStatus.DISMISSED),
    ]
    await store.apply(records)

    async def kept(**asked: object) -> list[int]:
        found = await store.evidence_kept(EvidenceQuery(**asked))  # type: ignore[arg-type]
        return [[record.violation.id for record in records].index(violation.id) for violation in found]

    assert await kept() == [0, 3, 4]
    assert await kept(limit=1) == [0]
    assert await kept(status=ViolationStatus.DISMISSED) == [4]
    assert await kept(camera_id="b") == [3]
    assert await kept(created_before=NOON + dt.timedelta(days=1)) == [0, 4]
    assert await kept(beyond_newest=1) == [3, 0]
    assert list(await store.cameras_with_evidence()) == ["b", "camera-1"]


async def test_evidence_that_went_is_said_once_in_row_audit_and_event(store: Store) -> None:
    record = opened(ended_at=NOON, status=HANDLED)
    await store.apply([record])

    (event,) = await store.forget_evidence([record.violation.id], "it was a test")
    assert list(await store.forget_evidence([record.violation.id], "again")) == []
    assert list(await store.apply([clip_taken(record.violation)])) == [], "a clip that comes late is gone, too"

    violation = await store.violation(record.violation.id)
    for gone in (violation.evidence, violation.clean_evidence, violation.clip):
        assert gone.name == ""
        assert "it was a test" in gone.missing_reason
    assert event.type is EventType.VIOLATION_UPDATED
    assert [entry.action.value for entry in await store.audit(violation.id)] == ["created", "evidence_deleted"]
    assert list(await store.evidence_kept(EvidenceQuery())) == []
    assert list(await store.cameras_with_evidence()) == []


async def test_writers_at_once_number_their_events_without_a_double(store: Store) -> None:
    batches = [[opened() for _ in range(5)] for _ in range(12)]

    results = await asyncio.gather(*(store.apply(batch) for batch in batches))

    numbers = sorted(event.number for events in results for event in events)
    assert numbers == sorted(set(numbers))
    assert [event.number for event in await store.events_after(0, 100)] == numbers


async def test_an_event_never_appears_below_one_already_seen(store: PiccoloStore) -> None:
    async with store._engine.transaction():
        (first,) = await store.apply([opened()])
        elsewhere = asyncio.create_task(store.apply([opened()]), context=contextvars.Context())
        overtaken, _ = await asyncio.wait([elsewhere], timeout=0.3)
        assert not overtaken

    (second,) = await elsewhere
    assert second.number > first.number
    assert list(await store.events_after(0, 10)) == [first, second]


async def _cancelled_after(turns: int, call: Coroutine[Any, Any, object]) -> None:
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cancelled_write_leaves_the_store_usable(store: Store) -> None:
    for delay_turns in range(0, 60, 3):
        await _cancelled_after(delay_turns, store.apply([opened() for _ in range(20)]))

    assert (await store.count_by_status()).get("open", 0) % 20 == 0
    await asyncio.gather(*(store.apply([opened()]) for _ in range(8)))
