"""Cameras and their rules on record."""

import datetime as dt
from collections.abc import Sequence

import uuid_utils

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.rule import Rule, RuleSettings
from gateway.errors import NotFoundError
from gateway.store.database_errors import FOREIGN_KEY_ERRORS, database_call
from gateway.store.rows import camera_columns, camera_of, only_row, rule_columns, rule_of
from gateway.store.tables import CameraRow, RuleRow


@database_call
async def create_camera(settings: CameraSettings, now: dt.datetime) -> Camera:
    """Insert a camera under a new UUIDv7."""
    columns = camera_columns(settings)
    camera_id = str(uuid_utils.uuid7())
    await CameraRow.insert(CameraRow(**columns, id=camera_id, created_at=now, updated_at=now))
    return Camera(id=camera_id, settings=settings, created_at=now, updated_at=now)


@database_call
async def update_camera(camera_id: str, settings: CameraSettings, now: dt.datetime) -> Camera:
    """Replace a camera's settings; `NotFoundError` if there is none."""
    update = CameraRow.update(**camera_columns(settings), updated_at=now).where(CameraRow.id == camera_id)
    return camera_of(only_row(await update.returning(*CameraRow.all_columns()), "camera", camera_id))


@database_call
async def delete_camera(camera_id: str) -> None:
    """Delete a camera, and by its foreign key its rules; `NotFoundError` if there is none."""
    deleted = await CameraRow.delete().where(CameraRow.id == camera_id).returning(CameraRow.id)
    only_row(deleted, "camera", camera_id)


@database_call
async def camera(camera_id: str) -> Camera:
    """One camera; `NotFoundError` if there is none."""
    return camera_of(only_row(await CameraRow.select().where(CameraRow.id == camera_id), "camera", camera_id))


@database_call
async def cameras() -> Sequence[Camera]:
    """All cameras, oldest first (ids grow with time)."""
    return [camera_of(row) for row in await CameraRow.select().order_by(CameraRow.id)]


@database_call
async def create_rule(camera_id: str, settings: RuleSettings) -> Rule:
    """Insert a rule under a new UUIDv7; `NotFoundError` if there is no such camera."""
    rule_id = str(uuid_utils.uuid7())
    try:
        await RuleRow.insert(RuleRow(**rule_columns(settings), id=rule_id, camera_id=camera_id, revision=1))
    except FOREIGN_KEY_ERRORS as error:
        raise NotFoundError(f"there is no camera {camera_id}") from error
    return Rule(id=rule_id, camera_id=camera_id, revision=1, settings=settings)


@database_call
async def update_rule(camera_id: str, rule_id: str, settings: RuleSettings) -> Rule:
    """Replace a rule's settings and raise its revision; `NotFoundError` if there is none."""
    update = RuleRow.update(**rule_columns(settings), revision=RuleRow.revision + 1)
    update = update.where((RuleRow.id == rule_id) & (RuleRow.camera_id == camera_id))
    return rule_of(only_row(await update.returning(*RuleRow.all_columns()), "rule", rule_id))


@database_call
async def delete_rule(camera_id: str, rule_id: str) -> None:
    """Delete a rule; `NotFoundError` if there is none."""
    delete = RuleRow.delete().where((RuleRow.id == rule_id) & (RuleRow.camera_id == camera_id))
    only_row(await delete.returning(RuleRow.id), "rule", rule_id)


@database_call
async def rule(camera_id: str, rule_id: str) -> Rule:
    """One rule; `NotFoundError` if there is none."""
    select = RuleRow.select().where((RuleRow.id == rule_id) & (RuleRow.camera_id == camera_id))
    return rule_of(only_row(await select, "rule", rule_id))


@database_call
async def rules(camera_id: str | None) -> Sequence[Rule]:
    """A camera's rules, or all rules, oldest first (ids grow with time)."""
    select = RuleRow.select().order_by(RuleRow.id)
    if camera_id is not None:
        select = select.where(RuleRow.camera_id == camera_id)
    return [rule_of(row) for row in await select]
