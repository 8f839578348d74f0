"""Holds this replica's cameras: renews, takes its share, gives up what others should have, drops what it has lost."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Sequence

from gateway.domain.clock import Clock
from gateway.domain.lease import Taken
from gateway.domain.ports import CameraLeases, Store
from gateway.errors import DatabaseError, NotFoundError, RuthError, StoreError
from gateway.metrics import Metrics
from gateway.ownership.cameras import OwnedCameras
from gateway.ownership.ledger import Ledger

_logger = logging.getLogger(__name__)

LOOKS_PER_LEASE = 6
CARRY_S = 5.0
LEAVE_S = 1.0
RETRY_S = 1.0


class CameraOwnership:
    """Renews in one task and acts in another, so that a camera that is slow to stop costs no lease.

    Args:
        leases: Who has what.
        store: Cameras and rules on record.
        cameras: Runs them.
        clock: For intervals.
        name: This replica's name.
        lease_s: As of `Ledger`.
        carried: Whether the database has a camera's records and states.
        announce: Tells the other replicas to look.
        metrics: What is counted.
    """

    def __init__(
        self,
        *,
        leases: CameraLeases,
        store: Store,
        cameras: OwnedCameras,
        clock: Clock,
        name: str,
        lease_s: float,
        carried: Callable[[str], Awaitable[bool]],
        announce: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self.ledger = Ledger(name, lease_s)
        self._leases = leases
        self._store = store
        self._cameras = cameras
        self._clock = clock
        self._look_s = None if math.isinf(lease_s) else lease_s / LOOKS_PER_LEASE
        self._timeout_s = None if math.isinf(lease_s) else lease_s / 3
        self._carried = carried
        self._announce = announce
        self._metrics = metrics
        self._fault = ""
        self._ended = False
        self._wake, self._looked, self._turn = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._looking, self._acting, self._applying = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        metrics.watch_ownership(lambda: len(self.ledger.running), lambda: len(self.ledger.replicas))

    async def begin(self) -> None:
        """Look for the first time and start what is this replica's; what fails is tried again by `run`."""
        self.ledger.epochs = dict(self._cameras.camera_epochs())
        await self.refresh()

    async def run(self) -> None:
        """Go on with that until cancelled.

        Raises:
            ExceptionGroup: Another gateway has this one's name, or a bug.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew())
            tasks.create_task(self._act_on_looks())

    def stop(self) -> None:
        """Nothing is renewed any more, and what is drained from now on waits for no look."""
        self._ended = True
        self._turn.set()

    async def leave(self) -> None:
        """Give everything up at once; without an answer the others find out when the lease has passed."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._leases.leave()
        except (StoreError, TimeoutError) as error:
            _logger.warning("cameras not given up; they pass to others when the lease has: %s", error)

    async def refresh(self) -> None:
        """Look and act now: a camera was added, or somebody says that something has changed."""
        await self._look()
        await self._act()

    def wake(self) -> None:
        """Look soon. Never blocks."""
        self._wake.set()

    def announce(self) -> None:
        """Have the other replicas look soon, where there is a way to tell them."""
        self._announce()

    async def until_sure(self) -> None:
        """Wait until this replica has dropped what it has lost: what it had open there is said to be cut off."""
        while not (self._ended or self.sure):
            self._turn.clear()
            await self._turn.wait()

    @property
    def sure(self) -> bool:
        """Whether every camera that runs here is this replica's, and no other one can have it now."""
        return self._clock.monotonic() < self.ledger.sure_until_s and not self.ledger.lost()

    async def ping(self) -> None:
        """Say whether leases are renewed; `DatabaseError` while they can't be."""
        if self._fault:
            raise DatabaseError(self._fault)

    async def _renew(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_s or (RETRY_S if self._fault else None)):
                    await self._wake.wait()
            self._wake.clear()
            await self._look()

    async def _look(self) -> None:
        async with self._looking:
            asked_s = self._clock.monotonic()
            try:
                async with asyncio.timeout(self._timeout_s):
                    self.ledger.seen(await self._leases.look(), asked_s)
            except (StoreError, TimeoutError) as error:
                self.ledger.missed(asked_s)
                self._note_fault(f"no lease can be renewed: {str(error) or 'the database does not answer'}")
            else:
                self._note_fault("")
            for camera_id in self.ledger.running:
                if self.ledger.holds(camera_id):
                    self._cameras.keep_camera(camera_id, self.ledger.sure_until_s)
        self._looked.set()
        self._turn.set()

    def _note_fault(self, fault: str) -> None:
        if fault and not self._fault:
            _logger.warning("cameras are not looked at once two thirds of the lease have passed: %s", fault)
        self._fault = fault

    async def _act_on_looks(self) -> None:
        while True:
            await self._looked.wait()
            self._looked.clear()
            await self._act()

    async def _act(self) -> None:
        """Do what the last look calls for; what the database refuses is tried again after the next one."""
        async with self._acting:
            try:
                for camera_id in self.ledger.lost():
                    await self._drop(camera_id)
                self._turn.set()
                plan = self.ledger.plan()
                await self._take(plan.take)
                for camera_id in plan.release:
                    await self._release(camera_id)
                for camera_id in self.ledger.changed():
                    await self.apply(camera_id)
            except StoreError as error:
                _logger.warning("cameras stay as they are until the next look: %s", error)
                asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)

    async def _drop(self, camera_id: str) -> None:
        if camera_id in self.ledger.holdings:
            await self._cameras.lose_camera(camera_id)
            self._note("lost", camera_id)
        else:
            await self._cameras.remove_camera(camera_id)
        self.ledger.drop(camera_id)

    async def _take(self, camera_ids: Sequence[str]) -> None:
        if not camera_ids:
            return
        known = {camera_id: self.ledger.epochs.get(camera_id, 0) for camera_id in camera_ids}
        async with self._looking:  # a look that was asked for before would show them free after
            got = await self._leases.take(known)
            for taken in got:
                await self._adopt(taken, known[taken.camera_id])
                self.ledger.took(taken)
        for taken in got:
            await self.apply(taken.camera_id)

    async def _adopt(self, taken: Taken, known: int) -> None:
        if taken.states is not None and taken.camera_id in self.ledger.epochs:
            await self._drop(taken.camera_id)  # another replica had it since the last look
        if taken.epoch != known:
            await self._cameras.adopt_camera(taken.camera_id, taken.epoch, taken.states)
        self._note("taken", taken.camera_id)

    async def apply(self, camera_id: str) -> None:
        """Bring a camera of this replica's in line with what is on record; one at a time, and so in the record's order.

        Raises:
            StoreError: The record can't be read.
        """
        async with self._applying:
            holding = self.ledger.holdings.get(camera_id)
            if holding is None:
                return  # it was lost just now
            if holding.revision is None:
                await self._cameras.remove_camera(camera_id)
                self.ledger.drop(camera_id)
                await self._leases.forget(camera_id, holding.epoch)
            elif await self._start(camera_id):
                self.ledger.running[camera_id] = holding.revision
                self._cameras.keep_camera(camera_id, self.ledger.sure_until_s)

    async def _start(self, camera_id: str) -> bool:
        """Start or change it; False where it has been deleted, which the next look tells."""
        try:
            camera, rules = await self._store.camera(camera_id), await self._store.rules(camera_id)
            await self._cameras.apply_camera(camera, rules)
        except NotFoundError:
            return False
        except StoreError:
            raise
        except RuthError as error:
            _logger.error("camera not started", extra={"camera_id": camera_id, "reason": str(error)})  # noqa: TRY400
        return True

    async def _release(self, camera_id: str) -> None:
        """Give a camera up when the database has all that its next owner needs; keep it where that takes too long."""
        self.ledger.running.pop(camera_id, None)
        await self._cameras.hand_over_camera(camera_id)
        if not await self._is_carried(camera_id):
            await self.apply(camera_id)
            return
        async with self._looking:
            await self._leases.release(camera_id, self.ledger.epochs[camera_id])
            self.ledger.drop(camera_id)
        await self._cameras.forget_camera(camera_id)
        self._note("released", camera_id)
        self._announce()

    async def _is_carried(self, camera_id: str) -> bool:
        """Wait for the drain; False when it takes too long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CARRY_S):
                while not await self._carried(camera_id):  # noqa: ASYNC110 - rare, and the drain has no event for it
                    await asyncio.sleep(0.02)
                return True
        return False

    def _note(self, change: str, camera_id: str) -> None:
        _logger.info("camera %s", change, extra={"camera_id": camera_id})
        self._metrics.camera_moved(change)
