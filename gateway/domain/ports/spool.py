"""The durable queue between detection and the database."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.domain.lease import CameraStates
from gateway.domain.violation import ViolationRecord


class Spool(Protocol):
    """The durable queue between detection and the database, and the rules' state. One writer."""

    async def load_rule_states(self) -> Mapping[tuple[str, str], bytes]:
        """The state of each rule by (camera id, rule id), as last committed."""
        ...

    async def commit(self, records: Sequence[ViolationRecord], states: Mapping[tuple[str, str], bytes]) -> None:
        """Keep records and rule states in one transaction; durable when this returns.

        Raises:
            SpoolError: Nothing of it was kept.
        """
        ...

    async def forget_rule_states(self, camera_id: str, rule_id: str) -> None:
        """Drop the state of a rule."""
        ...

    async def awaited_clips(self) -> Sequence[str]:
        """Ids of the violations that opened saying their clip is being recorded, and of which nothing came since."""
        ...

    async def load_epochs(self) -> Mapping[str, int]:
        """Under which epoch each camera was adopted, by camera id."""
        ...

    async def adopt(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """Note the epoch of a camera, whose states are to be carried to the database from now on.

        Args:
            camera_id: The camera.
            epoch: As the database gave it.
            states: Take the place of the states kept; None leaves them.
        """
        ...

    async def disown(self, camera_id: str) -> None:
        """Drop a camera's states and its epoch."""
        ...

    async def uncarried(self, after: int) -> Sequence[CameraStates]:
        """States of adopted cameras that the database doesn't have.

        None while a record waits whose sequence number is greater than `after`: states must not be ahead of records.
        """
        ...

    async def note_carried(self, states: Sequence[CameraStates]) -> None:
        """The database has these states, or wants them no more."""
        ...

    async def oldest(self, limit: int, after: int = 0) -> Sequence[tuple[int, ViolationRecord]]:
        """The oldest records not yet acknowledged, with their sequence numbers; only those with greater ones."""
        ...

    async def acknowledge(self, through: int) -> None:
        """Drop every record up to this sequence number: the database has them."""
        ...

    async def depth(self) -> int:
        """How many records wait."""
        ...
