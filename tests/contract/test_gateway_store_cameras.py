"""What `Store` promises of itself, of cameras and of rules, on SQLite, on PostgreSQL, and behind PgBouncer."""

import msgspec
import pytest

from gateway.domain.camera import CameraSettings
from gateway.domain.definitions import ZonePresence
from gateway.domain.ports import Store
from gateway.domain.rule import RuleSettings, Severity
from gateway.domain.violation import ViolationPatch
from gateway.errors import NotFoundError
from tests.support.violations import opened

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
