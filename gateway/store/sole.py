"""One gateway on a database of its own has every camera."""

from collections.abc import Mapping, Sequence

from gateway.domain.lease import Holding, Look, Taken
from gateway.domain.ports import Store


class SoleOwner:
    """Implements `gateway.domain.ports.CameraLeases` where there is one gateway: nothing is written.

    Args:
        store: Knows the cameras.
        name: This gateway's name.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._taken: set[str] = set()

    async def look(self) -> Look:
        """All cameras; those that were taken are this gateway's."""
        cameras = await self._store.cameras()
        self._taken &= {camera.id for camera in cameras}
        holdings = (
            Holding(
                camera_id=camera.id,
                owner=self._name if camera.id in self._taken else None,
                revision=camera.updated_at.isoformat(),
                enabled=camera.settings.enabled,
            )
            for camera in cameras
        )
        return Look(replicas=(self._name,), holdings=tuple(holdings))

    async def take(self, known: Mapping[str, int]) -> Sequence[Taken]:
        """Take cameras; their states are in the spool."""
        self._taken |= known.keys()
        return [Taken(camera_id=camera_id, epoch=0) for camera_id in known]

    async def release(self, camera_id: str, epoch: int) -> None:  # noqa: ARG002 - there is no other epoch
        """Give a camera up."""
        self._taken.discard(camera_id)

    async def forget(self, camera_id: str, epoch: int) -> None:  # noqa: ARG002 - as above
        """A deleted camera's episodes have been ended."""
        self._taken.discard(camera_id)

    async def leave(self) -> None:
        """Give everything up."""
        self._taken.clear()
