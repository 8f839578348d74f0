"""What `Store` promises of violations that are read and handled, on SQLite, on PostgreSQL, and behind PgBouncer."""

import datetime as dt

import pytest
from piccolo.querystring import QueryString

from gateway.domain.event import EventType
from gateway.domain.ports import Store
from gateway.domain.retention import EvidenceQuery
from gateway.domain.violation import Evidence, ViolationPatch, ViolationQuery, ViolationStatus, evidence_folder
from gateway.store.piccolo_store import PiccoloStore
from tests.support.violations import NOON, clip_taken, closed, opened


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


async def test_violations_that_go_on_can_be_asked_for(store: Store) -> None:
    ended, first, second = opened(), opened(camera_id="gate"), opened(camera_id="yard")
    await store.apply([ended, first, second])
    await store.apply([closed(ended.violation)])
    going_on = await store.violations(ViolationQuery(ongoing=True))
    assert [each.id for each in going_on] == [second.violation.id, first.violation.id]
    at_the_gate = await store.violations(ViolationQuery(ongoing=True, camera_id="gate"))
    assert [each.id for each in at_the_gate] == [first.violation.id]


async def test_violations_are_counted_by_status(store: Store) -> None:
    await store.apply([opened(), opened(), opened(status=ViolationStatus.RESOLVED)])

    assert await store.count_by_status() == {"open": 2, "resolved": 1}


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


async def test_evidence_of_a_violation_that_was_opened_again_or_goes_on_is_not_forgotten(store: Store) -> None:
    going, over = opened(status=HANDLED), opened(ended_at=NOON, status=HANDLED)
    named = Evidence(name="an/old/place.jpg", sha256="00")
    old = opened(ended_at=NOON, status=HANDLED, evidence=named, clean_evidence=Evidence())
    await store.apply([going, over, old])
    await store.patch_violation(over.violation.id, ViolationPatch(status=ViolationStatus.OPEN, by="anna"))

    ids = [record.violation.id for record in (going, over, old)]
    assert len(await store.forget_evidence(ids, "it was a test")) == 1
    assert (await store.violation(over.violation.id)).evidence == over.violation.evidence

    places = {old.violation.id: ["an/old/place.jpg", evidence_folder(old.violation.id)]}
    assert await store.evidence_forgotten() == places
    await store.note_deleted([old.violation.id])
    await store.note_deleted([])
    assert await store.evidence_forgotten() == {}


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
