"""The states of the cameras' rules while a camera isn't running, and under which epoch this replica has each camera."""

import datetime as dt
from collections.abc import Callable, Collection, Mapping

from gateway.domain.ports import Spool
from gateway.pipeline.judge import end_episodes
from gateway.pipeline.recorder import Recorder


class KeptStates:
    """States by camera and rule, as the spool has them.

    Args:
        spool: Keeps them.
        recorder: Records the ends of episodes that nobody follows any more.
        utcnow: The wall clock, for records.
        on_recorded: Called when the spool has something new.
    """

    def __init__(
        self,
        spool: Spool,
        recorder: Recorder,
        utcnow: Callable[[], dt.datetime],
        on_recorded: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._recorder = recorder
        self._utcnow = utcnow
        self._on_recorded = on_recorded
        self._states: dict[str, dict[str, bytes]] = {}
        self._epochs: dict[str, int] = {}

    async def load(self) -> None:
        """Read what the spool has."""
        for (camera_id, rule_id), state in (await self._spool.load_rule_states()).items():
            self._states.setdefault(camera_id, {})[rule_id] = state
        self._epochs = dict(await self._spool.load_epochs())

    @property
    def epochs(self) -> Mapping[str, int]:
        """Epoch of each camera that anything is kept of; 0 where it was never given one."""
        return dict.fromkeys(self._states, 0) | self._epochs

    def of(self, camera_id: str) -> dict[str, bytes]:
        """A camera's states by rule id."""
        return dict(self._states.get(camera_id, {}))

    def epoch(self, camera_id: str) -> int:
        """Under which epoch this replica has a camera; 0 where there is one gateway alone."""
        return self._epochs.get(camera_id, 0)

    def put(self, camera_id: str, states: Mapping[str, bytes]) -> None:
        """Remember how far the rules of a camera that is being stopped have come."""
        self._states.setdefault(camera_id, {}).update(states)

    async def keep(self, camera_id: str) -> None:
        """Make what is remembered durable."""
        await self._recorder.keep((), {(camera_id, rule_id): state for rule_id, state in self.of(camera_id).items()})
        self._on_recorded()

    async def adopt(self, camera_id: str, epoch: int, states: Mapping[str, bytes] | None) -> None:
        """Begin with the states that another replica left, or go on with what is here where they are None."""
        await self._spool.adopt(camera_id, epoch, states)
        self._epochs[camera_id] = epoch
        if states is not None:
            self._states[camera_id] = dict(states)

    async def end(self, camera_id: str, keep: Collection[str] = (), *, cut_off: bool = False) -> None:
        """End what a camera that isn't running has open, but for the rules to keep.

        Args:
            camera_id: The camera.
            keep: Rules whose states stay.
            cut_off: The episodes may go on at another replica.
        """
        gone = {rule_id: state for rule_id, state in self.of(camera_id).items() if rule_id not in keep}
        if verdict := end_episodes(gone, self._utcnow(), cut_off=cut_off):
            await self._recorder.record(verdict, None, {}, epoch=self.epoch(camera_id))
            self._on_recorded()
        for rule_id in gone:
            await self.forget_rule(camera_id, rule_id)

    async def forget_rule(self, camera_id: str, rule_id: str) -> None:
        """A rule is gone."""
        await self._spool.forget_rule_states(camera_id, rule_id)
        self._states.get(camera_id, {}).pop(rule_id, None)

    async def forget(self, camera_id: str) -> None:
        """A camera is gone, or another replica's."""
        await self._spool.disown(camera_id)
        self._states.pop(camera_id, None)
        self._epochs.pop(camera_id, None)
