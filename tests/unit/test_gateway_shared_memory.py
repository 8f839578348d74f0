"""Regions of shared memory: seen by others, and nothing left behind."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.inference.shared_memory import PREFIX, SharedRegion, remove_leftovers
from tests.support.triton_server import eventually

SHM = Path("/dev/shm")


@pytest.fixture
def region():
    made = SharedRegion(1800)
    yield made
    made.close()


def test_what_is_written_is_what_others_see(region: SharedRegion):
    assert not region.memory.any()
    region.memory[600:1200] = 2
    assert (SHM / region.name).read_bytes() == b"\0" * 600 + b"\2" * 600 + b"\0" * 600


def test_closing_removes_the_region(region: SharedRegion):
    assert (SHM / region.name).exists()
    region.close()
    assert not (SHM / region.name).exists()


def test_closing_while_a_frame_is_being_written_leaves_its_memory_valid_and_says_nothing():
    region = SharedRegion(1800)
    view = region.memory[600:]
    region.close()
    del region
    gc.collect()
    view[:] = 7
    assert view.sum() == 8400
    del view
    gc.collect()


def test_a_region_that_does_not_fit_is_refused_at_once_and_leaves_nothing():
    before = set(SHM.iterdir())
    with pytest.raises(OSError, match="No space left"):
        SharedRegion(1 << 46)
    assert {path for path in set(SHM.iterdir()) - before if str(os.getpid()) in path.name} == set()


OWNER = """
import sys
from gateway.inference.shared_memory import SharedRegion
region = SharedRegion(600)
print(region.name, flush=True)
input()
"""


def test_a_region_is_removed_once_its_gateway_was_killed_and_not_before(region: SharedRegion):
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().decode().strip()
        assert name not in remove_leftovers()
        owner.kill()
    assert name in remove_leftovers()
    assert not (SHM / name).exists()
    assert (SHM / region.name).exists()


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
