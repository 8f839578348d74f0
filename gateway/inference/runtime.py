"""One runtime: connects, registers shared memory, sends frames, and comes back after the server was away."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache

import numpy as np

from gateway.domain.clock import Clock
from gateway.domain.detections import Detections
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.domain.model import ModelContract, Task
from gateway.domain.runtime import RuntimeState, Transport
from gateway.errors import (
    InferenceError,
    InferenceRejectedError,
    InferenceTimeoutError,
    ModelContractError,
    RuntimeUnavailableError,
)
from gateway.inference.contract import read_contract, to_detections
from gateway.inference.link import Link
from gateway.inference.shared_memory import SharedRegion
from gateway.inference.slots import Slots, slot_bytes
from gateway.inference.transport import InferenceTransport

_logger = logging.getLogger(__name__)

RETRY_FIRST_S = 0.05
RETRY_LAST_S = 1.0
UNSETTLED_S = 5.0
"""So long after a look at the server that left something open it is looked at again."""

LATENCY_SMOOTHING = 0.1
SCALED_IN_LOOP_BYTES = 300_000
"""Up to this size of a canvas (0.3 ms to write) a worker's thread would cost about as much as it takes off the loop."""


class TritonRuntime:
    """Frames to one Triton, through shared memory where the server lets us, else in the request.

    Args:
        runtime_id: As declared.
        link: The way to it; closed with this.
        shared_memory_reason: Why shared memory isn't to be tried; empty to try it.
        slots: Frames that may be on their way at once through shared memory.
        clock: For intervals.
        workers: Where frames are scaled to large canvases.
        on_change: Called in the event loop when the state or the set of models has changed.
    """

    def __init__(
        self,
        runtime_id: str,
        link: Link,
        *,
        shared_memory_reason: str,
        slots: int,
        clock: Clock,
        workers: Executor,
        on_change: Callable[[], None],
    ) -> None:
        self.runtime_id = runtime_id
        self.state = RuntimeState.CONNECTING
        self.reason = ""
        self.transport: Transport | None = None
        self.transport_reason = shared_memory_reason
        self.contracts: dict[str, ModelContract] = {}
        self.refused: dict[str, str] = {}
        self.latency_ms: float | None = None
        self._link = link
        self._shared_memory_reason = shared_memory_reason
        self._slot_count = slots
        self._clock = clock
        self._workers = workers
        self._on_change = on_change
        self._region: SharedRegion | None = None
        self._slots: Slots | None = None
        self._former: list[tuple[str, Slots]] = []
        self._unsure = False
        self._check = asyncio.Event()

    async def run(self) -> None:
        """Keep connected until cancelled."""
        retry_s = RETRY_FIRST_S
        try:
            while True:
                try:
                    await self.connect()
                except InferenceError as error:
                    self._lose(str(error))
                    await asyncio.sleep(random.uniform(retry_s / 2, retry_s))  # noqa: S311 - jitter
                    retry_s = min(RETRY_LAST_S, retry_s * 2)
                    continue
                retry_s = RETRY_FIRST_S
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(UNSETTLED_S if self._former or self._unsure else None):
                        await self._check.wait()
        finally:
            await self.close()

    def check(self) -> None:
        """Look again at the server: something about it has changed or failed."""
        self._check.set()

    def contract(self, model: str) -> ModelContract:
        """What a model declares; `ModelContractError` if it isn't loaded here or declares nothing."""
        contract = self.contracts.get(model)
        if contract is None:
            raise ModelContractError(self.refused.get(model, f"model {model} isn't loaded on {self.runtime_id}"))
        return contract

    async def infer(self, model: str, frame: Frame, timeout_s: float) -> InferenceResult:
        """Send one frame and wait for what the model sees in it.

        Raises:
            RuntimeUnavailableError: The server is away; the runtime reconnects by itself.
            InferenceTimeoutError: No answer within `timeout_s`.
            InferenceRejectedError: The server refused the request.
            ModelContractError: The model isn't loaded here or broke its contract.
        """
        contract = self.contract(model)
        if contract.task is Task.CLASSIFY:
            raise ModelContractError(f"model {model} is a classifier; rules need a detector")
        started_s = self._clock.monotonic()
        try:
            detections = await self._send(contract, frame, started_s + timeout_s)
        except (RuntimeUnavailableError, InferenceRejectedError):
            self.check()
            raise
        latency_s = self._clock.monotonic() - started_s
        self._smooth_latency(latency_s * 1000)
        return InferenceResult(detections, contract, self.runtime_id, latency_s)

    async def load(self, model: str) -> None:
        """Load a model on this server."""
        await self._link.control.load(model)
        self.check()

    async def unload(self, model: str) -> None:
        """Unload a model from this server."""
        await self._link.control.unload(model)
        self.check()

    def _smooth_latency(self, latency_ms: float) -> None:
        before = latency_ms if self.latency_ms is None else self.latency_ms
        self.latency_ms = before + (latency_ms - before) * LATENCY_SMOOTHING

    async def _send(self, contract: ModelContract, frame: Frame, deadline_s: float) -> Detections:
        slots = self._slots
        if slots is None:
            raise RuntimeUnavailableError(self.reason or "the inference server isn't connected yet")
        slot = slots.acquire()
        if slot is None:
            raise RuntimeUnavailableError(f"none of the last {self._slot_count} frames was answered")
        try:
            call = slot.call(contract)
            letterbox = _fit(frame.resolution_wh, contract.input_wh, contract.letterbox)
            if contract.frame_bytes > SCALED_IN_LOOP_BYTES:
                await asyncio.get_running_loop().run_in_executor(self._workers, call.write, frame, letterbox)
            else:
                call.write(frame, letterbox)
            left_s = deadline_s - self._clock.monotonic()
            if left_s <= 0:
                raise InferenceTimeoutError("the frame's deadline passed before it was sent")
            rows, count = await call.send(left_s)
            return to_detections(rows, count, contract, letterbox, frame.resolution_wh)
        finally:
            slots.release(slot)

    async def connect(self) -> None:
        """Look at the server, read its models' contracts and register shared memory; `run` does so by itself.

        Raises:
            InferenceError: The server isn't ready.
        """
        self._check.clear()
        await self._link.choose()
        if not await self._link.control.is_ready():
            raise RuntimeUnavailableError("the inference server is still starting")
        contracts, refused = await self._read_contracts()
        changed = (contracts, refused) != (self.contracts, self.refused) or self.state is not RuntimeState.READY
        if contracts != self.contracts:  # calls are made ready for the very object
            self.contracts = contracts
        self.refused = refused
        await self._make_slots()
        self.state, self.reason = RuntimeState.READY, ""
        if changed:
            _logger.info(
                "runtime ready",
                extra={"runtime_id": self.runtime_id, "models": sorted(contracts), "transport": self.transport},
            )
            self._on_change()
        await self._forget_regions()

    async def _read_contracts(self) -> tuple[dict[str, ModelContract], dict[str, str]]:
        contracts: dict[str, ModelContract] = {}
        refused: dict[str, str] = {}
        self._unsure = False
        for served in await self._link.control.index():
            if not served.ready:
                refused.setdefault(served.name, served.reason or "not loaded")
                continue
            try:
                contracts[served.name] = read_contract(await self._link.control.config(served.name), served.version)
            except ModelContractError as error:
                refused[served.name] = str(error)
            except InferenceRejectedError as error:  # it was ready a moment ago, and may be unloaded or changed now
                refused[served.name] = str(error)
                self._unsure = True
        return contracts, {name: why for name, why in refused.items() if name not in contracts}

    async def _make_slots(self) -> None:
        """Make slots and register their memory, unless this connection has some that still serve."""
        byte_size = slot_bytes(self.contracts.values())
        transport = self._link.transport
        if await self._still_serve(byte_size, transport):
            return
        self._drop_slots()
        if byte_size == 0:
            return  # no model is loaded that frames could go to
        self._region = await self._share_memory(byte_size * self._slot_count)
        if self._region is None:
            memory, name = np.zeros(byte_size * self._slot_count, np.uint8), None
        else:
            memory, name = self._region.memory, self._region.name
        self._slots = Slots(memory, name, byte_size, transport)

    async def _still_serve(self, byte_size: int, transport: InferenceTransport) -> bool:
        """Whether the slots are large enough, and the server knows their region: a restarted one has forgotten it."""
        slots = self._slots
        if slots is None or self.state is not RuntimeState.READY:
            return False
        if byte_size > slots.slot_bytes or slots.transport is not transport:
            return False
        return slots.region is None or await self._link.control.is_registered(slots.region)

    async def _share_memory(self, byte_size: int) -> SharedRegion | None:
        """A region that the server knows; None where frames have to travel inline."""
        if self._shared_memory_reason:
            self.transport = Transport.INLINE
            return None
        try:
            region = SharedRegion(byte_size)
        except OSError as error:
            self._go_inline(f"no room in /dev/shm: {error}")
            return None
        try:
            await self._link.control.register(region.name, byte_size)
        except InferenceRejectedError as error:
            region.close()
            self._go_inline(f"the server refuses shared memory: {error}")
            return None
        except BaseException:
            region.close()
            raise
        self.transport, self.transport_reason = Transport.SYSTEM_SHARED_MEMORY, ""
        return region

    def _go_inline(self, reason: str) -> None:
        if reason != self.transport_reason:
            _logger.warning("frames travel inline", extra={"runtime_id": self.runtime_id, "reason": reason})
        self.transport, self.transport_reason = Transport.INLINE, reason

    def _lose(self, reason: str) -> None:
        self._drop_slots()
        if self.state is not RuntimeState.UNAVAILABLE:
            _logger.warning("runtime unavailable", extra={"runtime_id": self.runtime_id, "reason": reason})
            self.state, self.reason = RuntimeState.UNAVAILABLE, reason
            self._on_change()

    def _drop_slots(self) -> None:
        if self._region is not None:
            self._region.close()
            if self._slots is not None:
                self._former.append((self._region.name, self._slots))
        self._slots = self._region = None

    async def _forget_regions(self) -> None:
        """Have the server forget former regions whose calls have ended: it keeps their memory until it is told."""
        for region, slots in [each for each in self._former if each[1].ended]:
            if await self._unregister(region):  # else it is tried again
                self._former.remove((region, slots))

    async def _unregister(self, region: str) -> bool:
        """Whether the server knows a region no longer; it forgets them by itself when it restarts."""
        try:
            if await self._link.control.is_registered(region):
                await self._link.control.unregister(region)
        except InferenceError as error:
            _logger.info("region not unregistered", extra={"runtime_id": self.runtime_id, "reason": str(error)})
            return False
        return True

    async def close(self) -> None:
        """Let go of shared memory and of the connections."""
        if self.state is RuntimeState.READY:
            if self._region is not None:
                await self._unregister(self._region.name)
            await self._forget_regions()
        self._drop_slots()
        await self._link.close()


@lru_cache(maxsize=256)
def _fit(source_wh: tuple[int, int], canvas_wh: tuple[int, int], mode: LetterboxMode) -> Letterbox:
    """As `Letterbox.fit`; the same object for the same arguments, which tells a slot that its padding still fits."""
    return Letterbox.fit(source_wh, canvas_wh, mode)
