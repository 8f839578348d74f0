"""What a replica knows of who has which camera, from its last look; decides from values."""

import math
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from gateway.domain.camera import CameraState, CameraStatus
from gateway.domain.lease import Holding, Look, Taken
from gateway.domain.share import Share, share

SURE_PART = 2 / 3
"""A replica that hasn't renewed for this part of its lease stops; the rest is for clocks and for its last frames."""


class Ledger:
    """The last look, the cameras that this replica keeps something of, and until when it can be sure.

    Args:
        name: This replica's name.
        lease_s: Seconds after which the others take it for dead; infinite where there are no others.

    Attributes:
        epochs: Epoch of every camera that the pipeline keeps something of, by its id.
        running: Revision of the settings of those that run here, or would if they were switched on.
        sure_until_s: No other replica can have one of them before then (monotonic).
    """

    def __init__(self, name: str, lease_s: float) -> None:
        self._name = name
        self._lease_s = lease_s
        self._replicas: tuple[str, ...] = ()
        self._holdings: dict[str, Holding] = {}
        self.epochs: dict[str, int] = {}
        self.running: dict[str, str] = {}
        self.sure_until_s = -math.inf

    @property
    def alone(self) -> bool:
        """Whether no other replica lived when it looked last."""
        return self._replicas == (self._name,)

    @property
    def replicas(self) -> Sequence[str]:
        """Names of the replicas that lived then."""
        return self._replicas

    @property
    def holdings(self) -> Mapping[str, Holding]:
        """Who had each camera, by its id."""
        return self._holdings

    def seen(self, look: Look, asked_s: float) -> None:
        """Take a look that was asked for at `asked_s` (monotonic)."""
        self._replicas = look.replicas
        self._holdings = {holding.camera_id: holding for holding in look.holdings}
        self.sure_until_s = asked_s + SURE_PART * self._lease_s

    def missed(self, now_s: float) -> None:
        """A look failed. Where no other replica lived, the cameras are this one's as long as it goes on trying."""
        if self.alone:
            self.sure_until_s = now_s + SURE_PART * self._lease_s

    def holds(self, camera_id: str) -> bool:
        """Whether this replica has a camera, by the last look."""
        holding = self._holdings.get(camera_id)
        return holding is not None and (holding.owner, holding.epoch) == (self._name, self.epochs.get(camera_id))

    def lost(self) -> list[str]:
        """Cameras that it keeps something of and that have had another owner, or are gone from the database."""
        return [camera_id for camera_id, epoch in self.epochs.items() if self._epoch(camera_id) != epoch]

    def plan(self) -> Share:
        """What to take and to release; what was this replica's in an earlier life is taken again."""
        again = tuple(
            each.camera_id
            for each in self._holdings.values()
            if each.owner == self._name and each.camera_id not in self.running
        )
        plan = share(self._name, self._replicas, tuple(self._holdings.values()))
        release = tuple(camera_id for camera_id in plan.release if camera_id in self.running)
        return Share(plan.take + again, release)

    def changed(self) -> list[str]:
        """Running cameras whose settings or rules aren't those on record any more."""
        return [
            camera_id
            for camera_id, revision in self.running.items()
            if self.holds(camera_id) and self._holdings[camera_id].revision != revision
        ]

    def took(self, taken: Taken) -> None:
        """A camera is this replica's now."""
        holding = self._holdings.get(taken.camera_id, Holding(camera_id=taken.camera_id))
        self._holdings[taken.camera_id] = replace(holding, owner=self._name, epoch=taken.epoch)
        self.epochs[taken.camera_id] = taken.epoch

    def drop(self, camera_id: str) -> None:
        """Nothing is kept of a camera any more."""
        self.epochs.pop(camera_id, None)
        self.running.pop(camera_id, None)

    def status(self, camera_id: str) -> CameraStatus:
        """How a camera is that doesn't run here, as far as this replica can tell."""
        holding = self._holdings.get(camera_id)
        owner = (holding.owner if holding else None) or ""
        if holding is not None and not holding.enabled:
            return CameraStatus(state=CameraState.DISABLED, owner=owner)
        if not owner or owner == self._name:
            return CameraStatus(state=CameraState.CONNECTING, reason="no replica has begun with it yet")
        return CameraStatus(
            state=CameraState.ELSEWHERE, reason=f"the replica {owner} has it, and knows how it is doing", owner=owner
        )

    def _epoch(self, camera_id: str) -> int | None:
        holding = self._holdings.get(camera_id)
        return None if holding is None else holding.epoch
