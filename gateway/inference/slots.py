"""Room for frames on their way: each slot holds one NV12 canvas and what the model answers to it."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from gateway.domain.detections import Float32Array
from gateway.domain.frame import Frame, UInt8Array
from gateway.domain.letterbox import Letterbox
from gateway.domain.model import ModelContract
from gateway.errors import InferenceRejectedError
from gateway.inference.canvas import Canvas
from gateway.inference.contract import BOX_COLUMNS
from gateway.inference.transport import Call, InferenceTransport, Region

ALIGNMENT = 64  # bytes, a cache line: the server writes the answer next to a canvas that it has read


class Slots:
    """The slots of one connection to a server, over one piece of memory.

    Args:
        memory: Flat uint8, in shared memory or not.
        region: Its name with the server; None: frames travel in the requests, and answers in the answers.
        slot_bytes: Size of one slot, see `slot_bytes`; the memory is cut into as many as it holds.
        transport: How requests travel.
    """

    def __init__(self, memory: UInt8Array, region: str | None, slot_bytes: int, transport: InferenceTransport) -> None:
        self.region = region
        self.slot_bytes = slot_bytes
        self.transport = transport
        cuts = range(0, len(memory) - slot_bytes + 1, slot_bytes)
        self._free = deque(Slot(memory[cut : cut + slot_bytes], region, cut, transport) for cut in cuts)
        self._unfinished: list[Slot] = []
        self._count = len(self._free)

    @property
    def ended(self) -> bool:
        """Whether every slot was given back, and the server has let go of each."""
        return len(self._free) + len(self._unfinished) == self._count and all(slot.ended for slot in self._unfinished)

    def acquire(self) -> "Slot | None":
        """Take a slot; None while every one is on its way, or was given up and is still in the server's hands."""
        if not self._free:
            self._free.extend(slot for slot in self._unfinished if slot.ended)
            self._unfinished = [slot for slot in self._unfinished if not slot.ended]
        return self._free.pop() if self._free else None

    def release(self, slot: "Slot") -> None:
        """Give a slot back; it is used again once its last call has ended."""
        if slot.ended:
            self._free.append(slot)
        else:
            self._unfinished.append(slot)


class Slot:
    """Memory for one frame, and the calls that were made ready for it, by model."""

    def __init__(self, memory: UInt8Array, region: str | None, offset: int, transport: InferenceTransport) -> None:
        self._memory = memory
        self._region = region
        self._offset = offset
        self._transport = transport
        self._calls: dict[str, FrameCall] = {}
        self._last: FrameCall | None = None

    @property
    def ended(self) -> bool:
        """Whether no call of it is on its way or in the server's hands."""
        return all(call.ended for call in self._calls.values())

    def call(self, contract: ModelContract) -> "FrameCall":
        """The call of one model from this slot."""
        call = self._calls.get(contract.name)
        if call is None or call.contract is not contract:
            call = FrameCall(contract, self._memory, self._region, self._offset, self._transport)
            self._calls[contract.name] = call
        if call is not self._last:
            call.forget_padding()
            self._last = call
        return call


class FrameCall:
    """One model's call from one slot: a frame is written into its canvas, sent, and its answer read."""

    def __init__(
        self,
        contract: ModelContract,
        memory: UInt8Array,
        region: str | None,
        offset: int,
        transport: InferenceTransport,
    ) -> None:
        self.contract = contract
        width, height = contract.input_wh
        columns = BOX_COLUMNS + 3 * len(contract.keypoints)
        self._rows_shape = contract.max_detections, columns
        self._canvas = memory[: contract.frame_bytes].reshape(height * 3 // 2, width)
        rows_at, count_at = _rows_at(contract), _count_at(contract)
        self._rows: Float32Array = memory[rows_at:count_at].view(np.float32).reshape(self._rows_shape)
        self._count = memory[count_at : count_at + 4].view(np.int32)
        self._placed: Canvas | None = None
        self._request = transport.prepare(
            Call(
                model=contract.name,
                shape=(1, *self._canvas.shape),
                frames=self._canvas if region is None else Region(region, offset, contract.frame_bytes),
                outputs={
                    "detections": None if region is None else Region(region, offset + rows_at, count_at - rows_at),
                    "num_detections": None if region is None else Region(region, offset + count_at, 4),
                },
            )
        )

    @property
    def ended(self) -> bool:
        """Whether the server has let go of the slot."""
        return self._request.ended

    def write(self, frame: Frame, letterbox: Letterbox) -> None:
        """Scale and letterbox a frame into the slot; what lies beside the picture is written when that has changed."""
        if self._placed is None or self._placed.letterbox is not letterbox:
            self._placed = Canvas(self._canvas, letterbox, self.contract.pad_luma)
        self._placed.write(frame)

    def forget_padding(self) -> None:
        """Another model's call has used the slot."""
        self._placed = None

    async def send(self, timeout_s: float) -> tuple[Float32Array, int]:
        """Send what was written; the rows that the model found, best first, the first `count` of them valid.

        The rows are a view of the slot: it may be given back once they were read.

        Raises:
            InferenceError: As `Request.send`.
        """
        answer = await self._request.send(timeout_s)
        if answer:
            self._copy(answer["detections"], self._rows.reshape(-1).view(np.uint8), "detections")
            self._copy(answer["num_detections"], self._count.view(np.uint8), "num_detections")
        return self._rows, int(self._count[0])

    def _copy(self, tensor: bytes | memoryview, target: UInt8Array, name: str) -> None:
        if len(tensor) != len(target):
            raise InferenceRejectedError(
                f"model {self.contract.name} answered {len(tensor)} bytes of {name}; it declares {len(target)}"
            )
        target[:] = np.frombuffer(tensor, np.uint8)


def slot_bytes(contracts: Iterable[ModelContract]) -> int:
    """Size of a slot that any of these models can use, in bytes; 0 without a model."""
    return max((_aligned(_count_at(contract) + 4) for contract in contracts), default=0)


def _rows_at(contract: ModelContract) -> int:
    return _aligned(contract.frame_bytes)


def _count_at(contract: ModelContract) -> int:
    return _rows_at(contract) + 4 * contract.max_detections * (BOX_COLUMNS + 3 * len(contract.keypoints))


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
