"""Changing cameras and rules: the record first, then the running pipeline, one change at a time."""

import asyncio

import msgspec

from gateway.domain.camera import Camera, CameraSettings
from gateway.domain.ports import Control, Store
from gateway.domain.rule import Rule, RuleSettings, check_labels
from gateway.errors import InvalidInputError
from gateway.masking import MASK, mask_secrets
from gateway.metrics import Metrics
from gateway.rules import check_ground


class Configuration:
    """Keeps record and pipeline in step; two changes at once can't reach them in different order."""

    def __init__(self, store: Store, control: Control, metrics: Metrics) -> None:
        self._store = store
        self._control = control
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()

    async def create_camera(self, settings: CameraSettings) -> Camera:
        """Put a camera on record and start it.

        Raises:
            InvalidInputError: No source can be made of its settings, or its URL's password is masked.
        """
        self._check(settings)
        async with self._one_at_a_time:
            camera = await self._store.create_camera(settings)
            await self._control.apply_camera(camera, ())
        return camera

    async def replace_camera(self, camera_id: str, settings: CameraSettings) -> Camera:
        """Replace a camera's settings; a URL sent back as it was shown, masked, keeps the credentials on record.

        Raises:
            NotFoundError: There is no such camera.
            InvalidInputError: No source can be made of its settings, or a masked URL isn't the one on record.
        """
        async with self._one_at_a_time:
            stored = await self._store.camera(camera_id)
            settings = restore_secret(settings, stored.settings.url)
            self._check(settings)
            camera = await self._store.update_camera(camera_id, settings)
            await self._control.apply_camera(camera, await self._store.rules(camera_id))
        return camera

    async def delete_camera(self, camera_id: str) -> None:
        """Remove a camera, its rules and its metrics; its violations stay.

        Raises:
            NotFoundError: There is no such camera.
        """
        async with self._one_at_a_time:
            await self._store.delete_camera(camera_id)
            await self._control.remove_camera(camera_id)
            self._metrics.forget_camera(camera_id)

    async def create_rule(self, camera_id: str, settings: RuleSettings) -> Rule:
        """Give a camera a rule.

        Raises:
            NotFoundError: There is no such camera.
            InvalidInputError: The camera's model knows none of the rule's labels, or its ground plane is none.
        """
        check_ground(settings)
        async with self._one_at_a_time:
            self._check_labels(await self._store.camera(camera_id), settings)
            rule = await self._store.create_rule(camera_id, settings)
            await self._apply_rules(camera_id)
        return rule

    async def replace_rule(self, camera_id: str, rule_id: str, settings: RuleSettings) -> Rule:
        """Replace a rule's settings.

        Raises:
            NotFoundError: There is no such rule.
            InvalidInputError: The camera's model knows none of the rule's labels, or its ground plane is none.
        """
        check_ground(settings)
        async with self._one_at_a_time:
            self._check_labels(await self._store.camera(camera_id), settings)
            rule = await self._store.update_rule(camera_id, rule_id, settings)
            await self._apply_rules(camera_id)
        return rule

    async def delete_rule(self, camera_id: str, rule_id: str) -> None:
        """Remove a rule; its violations stay.

        Raises:
            NotFoundError: There is no such rule.
        """
        async with self._one_at_a_time:
            await self._store.delete_rule(camera_id, rule_id)
            await self._apply_rules(camera_id)

    def _check(self, settings: CameraSettings) -> None:
        if f":{MASK}@" in settings.url or f"={MASK}" in settings.url:
            raise InvalidInputError("the URL's credentials are masked by ***; give the real ones")
        self._control.check_camera(settings)

    def _check_labels(self, camera: Camera, settings: RuleSettings) -> None:
        """Refuse a rule that could never be broken. A model that no runtime serves yet can't be asked."""
        for model in self._control.models():
            if model.name == camera.settings.model and model.contract is not None:
                check_labels(settings, model.contract.labels)

    async def _apply_rules(self, camera_id: str) -> None:
        camera, rules = await asyncio.gather(self._store.camera(camera_id), self._store.rules(camera_id))
        await self._control.apply_camera(camera, rules)


def restore_secret(settings: CameraSettings, stored_url: str) -> CameraSettings:
    """Put the credentials on record back where the URL is the one on record, masked."""
    if settings.url == mask_secrets(stored_url):
        return msgspec.structs.replace(settings, url=stored_url)
    return settings
