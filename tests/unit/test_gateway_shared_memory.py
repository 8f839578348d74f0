"""Slots of shared memory: never two owners, nothing left behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.inference.shared_memory import PREFIX, QUARANTINE_S, FrameSlots, remove_leftovers

SHM = Path("/dev/shm")


@pytest.fixture
def slots():
    region = FrameSlots(slot_bytes=600, count=3)
    yield region
    if (SHM / region.name).exists():
        region.close()


def test_a_slot_has_one_owner_until_it_is_given_back(slots: FrameSlots):
    taken = [slots.acquire(600, 0.0) for _ in range(4)]
    assert taken[3] is None
    assert sorted(slot.offset for slot in taken[:3] if slot) == [0, 600, 1200]
    assert taken[1] is not None
    slots.release(taken[1])
    assert slots.acquire(10, 0.0) is taken[1]


def test_slots_do_not_overlap_and_are_what_others_see(slots: FrameSlots):
    for value in (1, 2, 3):
        slot = slots.acquire(600, 0.0)
        assert slot is not None
        slot.pixels[:] = value
    region = (SHM / slots.name).read_bytes()
    assert region == b"\1" * 600 + b"\2" * 600 + b"\3" * 600
    assert slots.byte_size == 1800


def test_a_frame_that_does_not_fit_gets_no_slot_and_takes_none(slots: FrameSlots):
    assert slots.acquire(601, 0.0) is None
    assert all(slots.acquire(600, 0.0) for _ in range(3))


def test_a_slot_without_an_answer_waits_before_it_is_used_again(slots: FrameSlots):
    taken = [slots.acquire(1, 0.0) for _ in range(3)]
    assert taken[0] is not None
    slots.quarantine(taken[0], 5.0)
    assert slots.acquire(1, 5.0 + QUARANTINE_S - 0.1) is None
    assert slots.acquire(1, 5.0 + QUARANTINE_S) is taken[0]


def test_closing_removes_the_region(slots: FrameSlots):
    assert (SHM / slots.name).exists()
    slots.close()
    assert not (SHM / slots.name).exists()


def test_closing_while_a_frame_is_being_written_leaves_its_slot_valid_and_says_nothing(slots: FrameSlots):
    slot = slots.acquire(600, 0.0)
    assert slot is not None
    slots.close()
    assert not (SHM / slots.name).exists()
    del slots
    gc.collect()
    slot.pixels[:] = 7
    assert slot.pixels.sum() == 4200
    del slot
    gc.collect()


def test_a_region_that_does_not_fit_is_refused_at_once_and_leaves_nothing():
    before = set(SHM.iterdir())
    with pytest.raises(OSError, match="No space left"):
        FrameSlots(slot_bytes=1 << 40, count=64)
    assert {path for path in set(SHM.iterdir()) - before if str(os.getpid()) in path.name} == set()


def test_only_regions_of_gateways_that_are_gone_are_removed(tmp_path: Path):
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = int(process.stdout)
    names = [f"{PREFIX}_{dead}_aa", f"{PREFIX}_{os.getpid()}_bb", f"{PREFIX}_other_cc", f"triton_{dead}_dd"]
    for name in names:
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == [names[0]]
    assert {path.name for path in tmp_path.iterdir()} == set(names[1:])
