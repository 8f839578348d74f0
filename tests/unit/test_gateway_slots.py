"""Slots: one frame at a time, and none again before its call has ended."""

import itertools

import numpy as np
import pytest

from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.domain.model import ModelContract, Task
from gateway.errors import InferenceRejectedError, InferenceTimeoutError
from gateway.inference.slots import ALIGNMENT, Slots, slot_bytes
from gateway.inference.transport import Answer, Call, Region
from tests.support.pictures import a_frame

WH = (64, 48)
BOX = Letterbox.fit(WH, WH, LetterboxMode.CENTER)


def a_contract(name: str = "people", input_wh: tuple[int, int] = WH, keypoints: int = 0) -> ModelContract:
    return ModelContract(
        name=name,
        version="1",
        task=Task.POSE if keypoints else Task.DETECT,
        input_wh=input_wh,
        letterbox=LetterboxMode.CENTER,
        pad_luma=16,
        labels=("person",),
        keypoints=tuple(f"joint {k}" for k in range(keypoints)),
        max_detections=5,
    )


class HeldRequest:
    """A request that ends when a test says so."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.ended = True
        self.answer: Answer = {}
        self.error: Exception | None = None

    async def send(self, timeout_s: float) -> Answer:
        if self.error is not None:
            raise self.error
        return self.answer


class Transport:
    """Makes requests that a test holds."""

    def __init__(self) -> None:
        self.requests: list[HeldRequest] = []

    def prepare(self, call: Call) -> HeldRequest:
        self.requests.append(HeldRequest(call))
        return self.requests[-1]

    async def close(self) -> None:
        pass


def made(count: int, *contracts: ModelContract, region: str | None = "region") -> tuple[Slots, Transport]:
    transport, size = Transport(), slot_bytes(contracts or [a_contract()])
    return Slots(np.zeros(size * count, np.uint8), region, size, transport), transport


def test_a_slot_has_one_owner_until_it_is_given_back():
    slots, _ = made(3)
    first, *others = (slots.acquire() for _ in range(3))
    assert len({first, *others}) == 3
    assert slots.acquire() is None
    assert first is not None
    slots.release(first)
    assert slots.acquire() is first


async def test_slots_have_ended_once_all_are_back_and_no_call_is_with_the_server():
    slots, transport = made(2)
    assert slots.ended
    slot = slots.acquire()
    assert slot is not None
    assert not slots.ended
    slot.call(a_contract())
    (request,) = transport.requests
    request.ended = False
    slots.release(slot)
    assert not slots.ended
    request.ended = True
    assert slots.ended


async def test_a_slot_is_not_used_again_before_its_call_has_ended():
    slots, transport = made(1)
    slot = slots.acquire()
    assert slot is not None
    call = slot.call(a_contract())
    transport.requests[0].error = InferenceTimeoutError("late")
    transport.requests[0].ended = False
    with pytest.raises(InferenceTimeoutError):
        await call.send(1.0)
    slots.release(slot)
    assert slots.acquire() is None
    transport.requests[0].ended = True
    assert slots.acquire() is slot


def test_no_byte_of_a_region_belongs_to_two_tensors():
    contracts = [a_contract(), a_contract("pose", (128, 96), keypoints=17)]
    slots, transport = made(4, *contracts)
    for _ in range(4):
        slot = slots.acquire()
        assert slot is not None
        slot.call(contracts[0])
        slot.call(contracts[1])
    for name in ("people", "pose"):
        calls = [request.call for request in transport.requests if request.call.model == name]
        regions = [r for call in calls for r in (call.frames, *call.outputs.values()) if isinstance(r, Region)]
        assert len(regions) == 12
        taken = sorted((r.offset, r.offset + r.byte_size) for r in regions)
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
        assert taken[-1][1] <= slots.slot_bytes * 4
        assert all(r.offset % 4 == 0 for r in regions)
        assert all(call.frames.offset % ALIGNMENT == 0 for call in calls if isinstance(call.frames, Region))


def test_a_call_is_made_ready_once_for_a_model_and_again_when_it_has_changed():
    slots, transport = made(1)
    slot, contract = slots.acquire(), a_contract()
    assert slot is not None
    assert slot.call(contract) is slot.call(contract)
    assert len(transport.requests) == 1
    assert slot.call(a_contract()) is not slot.call(contract)


@pytest.mark.parametrize("between", ["another shape", "another model"])
def test_the_margin_is_written_again_after(between: str):
    small = a_contract("small", (32, 32))
    slots, _ = made(1, a_contract(), small)
    slot, contract = slots.acquire(), a_contract()
    assert slot is not None
    wide = Letterbox.fit((64, 20), WH, LetterboxMode.CENTER)
    slot.call(contract).write(a_frame(resolution_wh=(64, 20)), wide)
    if between == "another shape":
        slot.call(contract).write(a_frame(resolution_wh=WH, luma=200), BOX)
    else:
        slot.call(small).write(a_frame(luma=200), Letterbox.fit(WH, (32, 32), LetterboxMode.STRETCH))
    call = slot.call(contract)
    call.write(a_frame(resolution_wh=(64, 20)), wide)
    canvas = slot._memory[: contract.frame_bytes].reshape(72, 64)
    assert (canvas[:14] == 16).all()
    assert (canvas[14:34] == 100).all()
    assert (canvas[34:48] == 16).all()
    assert (canvas[48:] == 128).all()


@pytest.mark.parametrize("region", ["region", None])
async def test_rows_and_count_are_read_where_they_were_written(region: str | None):
    slots, transport = made(1, region=region)
    slot = slots.acquire()
    assert slot is not None
    call = slot.call(a_contract())
    rows = np.arange(30, dtype=np.float32).reshape(5, 6)
    if region is None:
        transport.requests[0].answer = {"detections": rows.tobytes(), "num_detections": b"\2\0\0\0"}
    else:
        where = transport.requests[0].call.outputs
        assert where["detections"] is not None
        assert where["num_detections"] is not None
        slot._memory[where["detections"].offset :][:120] = np.frombuffer(rows.tobytes(), np.uint8)
        slot._memory[where["num_detections"].offset] = 2
    found, count = await call.send(1.0)
    np.testing.assert_array_equal(found, rows)
    assert count == 2


async def test_an_answer_of_another_size_than_declared_is_refused():
    slots, transport = made(1, region=None)
    slot = slots.acquire()
    assert slot is not None
    call = slot.call(a_contract())
    transport.requests[0].answer = {"detections": bytes(96), "num_detections": bytes(4)}
    with pytest.raises(InferenceRejectedError, match="96 bytes of detections; it declares 120"):
        await call.send(1.0)
