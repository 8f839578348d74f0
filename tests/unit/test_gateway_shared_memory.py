"""Slots of shared memory: never two owners, nothing left behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.inference.shared_memory import PREFIX, QUARANTINE_S, FrameSlots, remove_leftovers
from tests.support.triton_server import eventually

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


OWNER = """
import sys
from gateway.inference.shared_memory import FrameSlots
slots = FrameSlots(slot_bytes=600, count=2)
print(slots.name, flush=True)
input()
"""


def test_a_region_is_removed_once_its_gateway_was_killed_and_not_before(slots: FrameSlots):
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().decode().strip()
        assert name not in remove_leftovers()
        owner.kill()
    assert name in remove_leftovers()
    assert not (SHM / name).exists()
    assert (SHM / slots.name).exists()


def test_a_gateway_in_another_pid_namespace_keeps_its_region():
    namespace = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a pid namespace here")
    command = [*namespace, sys.executable, "-c", OWNER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().decode().strip()
        assert name.split("_")[3] != str(owner.pid)
        assert name not in remove_leftovers()
        owner.kill()
    eventually(lambda: name in remove_leftovers(), 5)


def test_what_is_no_gateways_region_is_left_alone(tmp_path: Path):
    (tmp_path / "target").touch()
    (tmp_path / f"{PREFIX}_1_link").symlink_to(tmp_path / "target")
    for name in ("triton_1_dd", f"{PREFIX}_1_aa"):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == [f"{PREFIX}_1_aa"]
    assert {path.name for path in tmp_path.iterdir()} == {"target", f"{PREFIX}_1_link", "triton_1_dd"}
