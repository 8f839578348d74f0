"""The pipeline as the API steers it, where cameras may be another replica's."""

from collections.abc import Sequence

import msgspec

from gateway.domain.camera import Camera, CameraStatus
from gateway.domain.rule import Rule
from gateway.domain.still import Still
from gateway.errors import ConflictError
from gateway.ownership.cameras import OwnedCameras
from gateway.ownership.loop import CameraOwnership


class OwnedControl:
    """Implements `gateway.domain.ports.Control`: as the pipeline does, and for other replicas' cameras says where.

    Args:
        cameras: This replica's pipeline.
        ownership: Which cameras are its own.
        name: This replica's name.
    """

    def __init__(self, cameras: OwnedCameras, ownership: CameraOwnership, name: str) -> None:
        self._cameras = cameras
        self._ownership = ownership
        self._name = name
        self.register, self.deregister = cameras.register, cameras.deregister
        self.drain_runtime, self.undrain_runtime = cameras.drain_runtime, cameras.undrain_runtime
        self.runtimes, self.models, self.infer = cameras.runtimes, cameras.models, cameras.infer
        self.load_model, self.unload_model = cameras.load_model, cameras.unload_model
        self.check_camera, self.fault = cameras.check_camera, cameras.fault

    async def apply_camera(self, camera: Camera, rules: Sequence[Rule]) -> None:  # noqa: ARG002 - read in turn
        """A camera is new or was changed; where another replica has it, that one sees so when it looks."""
        if camera.id in self._ownership.ledger.running:
            await self._ownership.apply(camera.id)
        else:
            await self._ownership.refresh()
        self._ownership.announce()

    async def remove_camera(self, camera_id: str) -> None:  # noqa: ARG002 - the look tells
        """A camera was deleted; whoever has it stops it and ends its open episodes."""
        await self._ownership.refresh()
        self._ownership.announce()

    async def push(self, camera_id: str, still: Still) -> bool:
        """Hand a picture to a `push:` camera; see `Control.push`."""
        status = self.camera_status(camera_id)
        if status.owner not in ("", self._name):
            raise ConflictError(f"the replica {status.owner} has the camera: send its pictures there")
        return await self._cameras.push(camera_id, still)

    def camera_status(self, camera_id: str) -> CameraStatus:
        """How a camera is doing, or which replica knows."""
        if camera_id not in self._ownership.ledger.running:
            return self._ownership.ledger.status(camera_id)
        return msgspec.structs.replace(self._cameras.camera_status(camera_id), owner=self._name)
