"""What ownership needs of the pipeline."""

from collections.abc import Mapping
from typing import Protocol

from gateway.domain.ports import Control


class OwnedCameras(Control, Protocol):
    """Runs the cameras that are this replica's: the pipeline, as the API steers it, and some more."""

    def camera_epochs(self) -> Mapping[str, int]:
        """Under which epoch this replica has or had each camera that it keeps anything of."""
        ...

    async def adopt_camera(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """A camera that isn't running is this replica's; states of None: its own spool's are the newest."""
        ...

    def keep_camera(self, camera_id: str, until_s: float) -> None:
        """No other replica can have a camera before then (monotonic)."""
        ...

    async def hand_over_camera(self, camera_id: str) -> None:
        """Stop a camera for another replica to go on with it."""
        ...

    async def lose_camera(self, camera_id: str) -> None:
        """Another replica has a camera."""
        ...

    async def forget_camera(self, camera_id: str) -> None:
        """Keep nothing of a camera that was handed over."""
        ...
