"""What dead agents leave, and who is dead."""

import os
import subprocess
import sys
import time

from triton_agent.host import host_id
from triton_agent.keeper import kill_session, oldest_backend_start, remove_environments, remove_regions
from triton_agent.leftovers import region_prefix, sweep_dead_agents


def ended_process_prefix():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        prefix = region_prefix(process.pid)
        process.communicate(b"\n")
    return prefix


def test_the_regions_of_a_dead_agent_go_and_all_others_stay(tmp_path):
    dead, alive = ended_process_prefix(), region_prefix(os.getpid())
    foreign = dead.replace(dead.split("_")[2], "1", 1)
    for name in (
        f"{dead}abc",
        f"{dead}def",
        f"{alive}abc",
        f"{foreign}abc",
        "triton_python_backend_shm",
        "ruth_triton_x",
    ):
        (tmp_path / name).touch()
    assert sweep_dead_agents(tmp_path) == [dead]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{alive}abc", f"{foreign}abc", "triton_python_backend_shm", "ruth_triton_x"}


def test_an_agent_whose_process_id_was_reused_is_dead(tmp_path):
    fields = region_prefix(os.getpid()).rstrip("_").split("_")
    reused = "_".join([*fields[:-1], str(int(fields[-1]) - 1)]) + "_"
    (tmp_path / f"{reused}abc").touch()
    assert sweep_dead_agents(tmp_path) == [reused]


def test_the_regions_of_another_user_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / f"{ended_process_prefix()}abc").touch()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert sweep_dead_agents(tmp_path) == []


def test_environments_go_if_they_are_empty_and_older_than_every_backend(tmp_path):
    for name in ("python_env_abc123", "python_env_full00", "python_env_young0", "python_env_own", "other_env_abc123"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000, 1000))
    (tmp_path / "python_env_full00/0").mkdir()
    os.utime(tmp_path / "python_env_full00", (1000, 1000))
    os.utime(tmp_path / "python_env_young0", (3000, 3000))
    remove_environments(2000, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"python_env_full00", "python_env_young0", "python_env_own", "other_env_abc123"}


def test_a_process_with_the_backend_in_it_keeps_what_is_younger(tmp_path):
    library = tmp_path / "libtriton_python.so"
    library.write_bytes(b"\0" * 4096)
    script = "import mmap, sys; f = open(sys.argv[1], 'r+b'); m = mmap.mmap(f.fileno(), 0); print(flush=True); input()"
    command = [sys.executable, "-c", script, library]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert oldest_backend_start() <= time.time()
        process.communicate(b"\n")


def test_the_stubs_of_a_dead_agent_are_killed(tmp_path):
    prefix = ended_process_prefix()
    (tmp_path / f"{prefix}abc").touch()
    command = [sys.executable, "-c", "print(flush=True); input()", f"{prefix}abc"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stub:
        stub.stdout.readline()
        sweep_dead_agents(tmp_path)
        assert stub.wait(10) == -9


def test_no_shared_memory_no_sweep(tmp_path):
    assert sweep_dead_agents(tmp_path / "none") == []


def test_a_session_is_killed_to_its_last_process():
    script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()']); print(flush=True); input()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as leader:
        leader.stdout.readline()
        assert len(kill_session(leader.pid)) == 2
        assert leader.wait(10) == -9


def test_regions_are_removed_by_their_prefix_only(tmp_path):
    for name in ("ruth_a_1", "ruth_a_2", "ruth_b_1"):
        (tmp_path / name).touch()
    assert sorted(remove_regions("ruth_a_", tmp_path)) == ["ruth_a_1", "ruth_a_2"]
    assert [path.name for path in tmp_path.iterdir()] == ["ruth_b_1"]


def test_the_host_id_is_boot_id_and_device_of_shared_memory(tmp_path):
    (tmp_path / "proc/sys/kernel/random").mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/random/boot_id").write_text("35179643-af50-46e3-9c0f-8dd04344f4df\n")
    assert host_id(tmp_path) is None
    (tmp_path / "dev/shm").mkdir(parents=True)
    assert host_id(tmp_path) == f"35179643-af50-46e3-9c0f-8dd04344f4df:{(tmp_path / 'dev/shm').stat().st_dev}"
