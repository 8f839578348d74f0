"""One runtime: connects, registers shared memory, sends frames, and comes back after the server was away."""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.domain.clock import Clock
from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.inference import InferenceResult
from gateway.domain.letterbox import Letterbox
from gateway.domain.model import ModelContract, Task
from gateway.domain.runtime import RuntimeState, Transport
from gateway.errors import InferenceError, InferenceRejectedError, ModelContractError, RuntimeUnavailableError
from gateway.inference.canvas import write_canvas
from gateway.inference.contract import read_contract, to_detections
from gateway.inference.shared_memory import FrameSlots, Slot
from gateway.inference.triton import Region, TritonClient

_logger = logging.getLogger(__name__)

RETRY_FIRST_S = 0.05
RETRY_LAST_S = 1.0
LATENCY_SMOOTHING = 0.1


class TritonRuntime:
    """Frames to one Triton, through shared memory where the server lets us, else in the request.

    Args:
        runtime_id: As declared.
        grpc_url: `host:port`.
        shared_memory_reason: Why shared memory isn't to be tried; empty to try it.
        slots: Frames that may be on their way at once through shared memory.
        clock: For intervals.
        workers: Where frames are scaled.
        on_change: Called in the event loop when the state or the set of models has changed.
    """

    def __init__(
        self,
        runtime_id: str,
        grpc_url: str,
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
        self._client = TritonClient(grpc_url)
        self._shared_memory_reason = shared_memory_reason
        self._slot_count = slots
        self._clock = clock
        self._workers = workers
        self._on_change = on_change
        self._slots: FrameSlots | None = None
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
        started_s = self._clock.monotonic()
        letterbox = Letterbox.fit(frame.resolution_wh, contract.input_wh, contract.letterbox)
        outputs = ["scores"] if contract.task is Task.CLASSIFY else ["detections", "num_detections"]
        try:
            answer = await self._send(contract, frame, letterbox, outputs, timeout_s)
        except (RuntimeUnavailableError, InferenceRejectedError):
            self.check()
            raise
        if contract.task is Task.CLASSIFY:
            raise ModelContractError(f"model {model} is a classifier; rules need a detector")
        rows, count = (
            answer["detections"][0].astype(np.float32, copy=False),
            int(answer["num_detections"].reshape(-1)[0]),
        )
        detections = to_detections(rows, count, contract, letterbox, frame.resolution_wh)
        latency_s = self._clock.monotonic() - started_s
        self._smooth_latency(latency_s * 1000)
        return InferenceResult(detections, contract, self.runtime_id, latency_s)

    async def load(self, model: str) -> None:
        """Load a model on this server."""
        await self._client.load(model)
        self.check()

    async def unload(self, model: str) -> None:
        """Unload a model from this server."""
        await self._client.unload(model)
        self.check()

    def _smooth_latency(self, latency_ms: float) -> None:
        before = latency_ms if self.latency_ms is None else self.latency_ms
        self.latency_ms = before + (latency_ms - before) * LATENCY_SMOOTHING

    async def _send(
        self, contract: ModelContract, frame: Frame, letterbox: Letterbox, outputs: list[str], timeout_s: float
    ) -> dict[str, npt.NDArray[Any]]:
        width, height = contract.input_wh
        shape = (1, height * 3 // 2, width)
        slots = self._slots
        slot = slots.acquire(contract.frame_bytes, self._clock.monotonic()) if slots is not None else None
        if slots is None or slot is None:
            canvas = np.empty(shape[1:], np.uint8)
            await self._write(frame, letterbox, contract, canvas)
            return await self._client.infer(contract.name, shape, canvas, outputs, timeout_s)
        answered = False
        try:
            canvas = slot.pixels[: contract.frame_bytes].reshape(shape[1:])
            await self._write(frame, letterbox, contract, canvas)
            region = Region(slots.name, slot.offset, contract.frame_bytes)
            answer = await self._client.infer(contract.name, shape, region, outputs, timeout_s)
        except InferenceRejectedError:
            answered = True
            raise
        else:
            answered = True
            return answer
        finally:
            self._give_back(slots, slot, answered=answered)

    async def _write(self, frame: Frame, letterbox: Letterbox, contract: ModelContract, canvas: UInt8Array) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._workers, write_canvas, frame, letterbox, contract.pad_luma, canvas)

    def _give_back(self, slots: FrameSlots, slot: Slot, *, answered: bool) -> None:
        if slots is not self._slots:
            return  # a region of an earlier connection: gone with it
        if answered:
            slots.release(slot)
        else:
            slots.quarantine(slot, self._clock.monotonic())

    async def connect(self) -> None:
        """Look at the server, read its models' contracts and register shared memory; `run` does so by itself.

        Raises:
            InferenceError: The server isn't ready.
        """
        self._check.clear()
        if not await self._client.is_ready():
            raise RuntimeUnavailableError("the inference server is still starting")
        contracts, refused = await self._read_contracts()
        await self._share_memory(max((c.frame_bytes for c in contracts.values()), default=0))
        changed = (contracts, refused) != (self.contracts, self.refused) or self.state is not RuntimeState.READY
        self.contracts, self.refused = contracts, refused
        self.state, self.reason = RuntimeState.READY, ""
        if changed:
            _logger.info(
                "runtime ready",
                extra={"runtime_id": self.runtime_id, "models": sorted(contracts), "transport": self.transport},
            )
            self._on_change()

    async def _read_contracts(self) -> tuple[dict[str, ModelContract], dict[str, str]]:
        contracts: dict[str, ModelContract] = {}
        refused: dict[str, str] = {}
        for served in await self._client.index():
            if not served.ready:
                refused.setdefault(served.name, served.reason or "not loaded")
                continue
            try:
                contracts[served.name] = read_contract(await self._client.config(served.name), served.version)
            except ModelContractError as error:
                refused[served.name] = str(error)
        return contracts, {name: why for name, why in refused.items() if name not in contracts}

    async def _share_memory(self, slot_bytes: int) -> None:
        """Make and register a new region, unless this connection has one that still serves."""
        if self._shared_memory_reason:
            self.transport = Transport.INLINE
            return
        if slot_bytes == 0:
            return  # no model is loaded that frames could go to
        if self._slots is not None and self.state is RuntimeState.READY and await self._still_registered(slot_bytes):
            return
        self._drop_slots()
        try:
            slots = FrameSlots(slot_bytes, self._slot_count)
        except OSError as error:
            self._go_inline(f"no room in /dev/shm: {error}")
            return
        try:
            await self._client.register(slots.name, slots.byte_size)
        except InferenceRejectedError as error:
            slots.close()
            self._go_inline(f"the server refuses shared memory: {error}")
        except BaseException:
            slots.close()
            raise
        else:
            self._slots, self.transport, self.transport_reason = slots, Transport.SYSTEM_SHARED_MEMORY, ""

    async def _still_registered(self, slot_bytes: int) -> bool:
        """Whether the server still knows the region: a restarted one has forgotten it."""
        slots = self._slots
        if slots is None or slot_bytes > slots.slot_bytes:
            return False
        return await self._client.is_registered(slots.name)

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
        if self._slots is not None:
            self._slots.close()
            self._slots = None

    async def close(self) -> None:
        """Let go of shared memory and of the connection."""
        if self._slots is not None and self.state is RuntimeState.READY:
            try:
                await self._client.unregister(self._slots.name)
            except InferenceError as error:
                _logger.info("region not unregistered", extra={"runtime_id": self.runtime_id, "reason": str(error)})
        self._drop_slots()
        await self._client.close()
