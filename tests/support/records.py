"""A spool and an evidence store in memory, whose failures a test decides."""

from collections.abc import Mapping, Sequence

from gateway.domain.lease import CameraStates
from gateway.domain.violation import ClipTaken, ViolationOpened, ViolationRecord
from gateway.errors import NotFoundError, SpoolError, StoreError


class MemorySpool:
    """Implements `gateway.domain.ports.Spool`; fails as often as told.

    Attributes:
        events: What happened, in order, shared with the evidence store.
        failures: Commits that are still to fail.
    """

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.failures = 0
        self.records: list[ViolationRecord] = []
        self.acknowledged = 0
        self.states: dict[tuple[str, str], bytes] = {}
        self.epochs: dict[str, int] = {}

    async def load_rule_states(self) -> Mapping[tuple[str, str], bytes]:
        return dict(self.states)

    async def commit(self, records: Sequence[ViolationRecord], states: Mapping[tuple[str, str], bytes]) -> None:
        if self.failures:
            self.failures -= 1
            self.events.append("commit failed")
            raise SpoolError("the disk is full")
        self.records += records
        self.states |= states
        self.events.append(f"commit {len(records)} records {len(states)} states")

    async def forget_rule_states(self, camera_id: str, rule_id: str) -> None:
        self.states.pop((camera_id, rule_id), None)

    def _forget_camera(self, camera_id: str) -> None:
        self.states = {key: state for key, state in self.states.items() if key[0] != camera_id}

    async def awaited_clips(self) -> Sequence[str]:
        opened = [record.violation for record in self.records if isinstance(record, ViolationOpened)]
        taken = {record.id for record in self.records if isinstance(record, ClipTaken)}
        return [violation.id for violation in opened if violation.clip.is_awaited and violation.id not in taken]

    async def load_epochs(self) -> Mapping[str, int]:
        return dict(self.epochs)

    async def adopt(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        self.epochs[camera_id] = epoch
        if states is not None:
            self._forget_camera(camera_id)
            self.states |= {(camera_id, rule_id): state for rule_id, state in states.items()}

    async def disown(self, camera_id: str) -> None:
        self.epochs.pop(camera_id, None)
        self._forget_camera(camera_id)

    async def uncarried(self, after: int) -> Sequence[CameraStates]:
        if self.records and self.acknowledged + len(self.records) > after:
            return []
        return [
            CameraStates(
                camera_id=camera_id,
                epoch=epoch,
                version=1,
                states={rule_id: state for (camera, rule_id), state in self.states.items() if camera == camera_id},
            )
            for camera_id, epoch in self.epochs.items()
        ]

    async def note_carried(self, states: Sequence[CameraStates]) -> None:
        self.events.append(f"carried {len(states)}")

    async def oldest(self, limit: int, after: int = 0) -> Sequence[tuple[int, ViolationRecord]]:
        numbered = enumerate(self.records, start=self.acknowledged + 1)
        return [(number, record) for number, record in numbered if number > after][:limit]

    async def acknowledge(self, through: int) -> None:
        self.records = self.records[max(0, through - self.acknowledged) :]
        self.acknowledged = max(self.acknowledged, through)

    async def depth(self) -> int:
        return len(self.records)


class MemoryEvidence:
    """Implements `gateway.domain.ports.EvidenceStore`; refuses everything while `broken`."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.broken = False
        self.files: dict[str, bytes] = {}

    async def put(self, name: str, content: bytes) -> str:
        if self.broken:
            raise StoreError("the disk is full")
        self.files[name] = content
        self.events.append("picture")
        return "ab" * 32

    async def get(self, name: str) -> bytes:
        if name not in self.files:
            raise NotFoundError(f"there is no evidence {name}")
        return self.files[name]

    async def delete(self, name: str) -> None:
        self.files = {kept: content for kept, content in self.files.items() if not f"{kept}/".startswith(f"{name}/")}

    async def used_share(self) -> float:
        return 0.0

    async def held_share(self) -> float:
        return 0.0
