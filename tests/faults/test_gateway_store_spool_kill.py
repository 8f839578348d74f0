"""kill -9, a disk that fails to sync, and a disk without space: nothing acknowledged is lost."""

import asyncio
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.store.spool import SqliteSpool

WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.errors import SpoolError
from gateway.store.spool import SqliteSpool
from tests.support.violations import opened

async def write(spool):
    while True:
        record = opened()
        try:
            await spool.commit([record], {("camera", "rule"): record.violation.id.encode()})
        except SpoolError:
            print("refused", record.violation.id, flush=True)
        else:
            print("kept", record.violation.id, flush=True)

async def main():
    spool = await SqliteSpool.open(Path(sys.argv[1]))
    await asyncio.gather(*(write(spool) for _ in range(4)))

asyncio.run(main())
"""
ROUNDS = 10
SEED = 20260301
CALLS = 100
DISK_CALLS = "pwrite64,fdatasync,fsync,ftruncate"


def _start_writer(path: Path, *prefix: str) -> "subprocess.Popen[str]":
    command = [*prefix, sys.executable, "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)


def _kill(writer: "subprocess.Popen[str]") -> str:
    """Kill at once; what the writer had said until then."""
    os.killpg(writer.pid, signal.SIGKILL)
    output, _ = writer.communicate()
    assert output is not None
    return output[: output.rfind("\n") + 1]


def _said(output: str, verdict: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines() if line.startswith(verdict)]


def _kept(path: Path) -> list[str]:
    async def read() -> list[str]:
        async with await SqliteSpool.open(path) as spool:
            return [record.violation.id for _, record in await spool.oldest(1_000_000)]

    return asyncio.run(read())


def test_no_acknowledged_record_is_lost_or_doubled_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    moments = random.Random(SEED)
    acknowledged: list[str] = []
    for _ in range(ROUNDS):
        writer = _start_writer(path)
        assert writer.stdout is not None
        acknowledged += _said(writer.stdout.readline(), "kept")
        time.sleep(moments.uniform(0.0, 0.15))
        acknowledged += _said(_kill(writer), "kept")

    kept = _kept(path)

    assert len(acknowledged) > ROUNDS
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    assert not list(tmp_path.glob("*.damaged-*"))


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
@pytest.mark.parametrize(("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "ENOSPC")])
def test_a_commit_that_the_disk_fails_is_refused_and_the_next_is_kept(tmp_path: Path, call: str, error: str) -> None:
    path = tmp_path / "spool.db"
    inject = f"inject={call}:error={error}:when=50+35"
    writer = _start_writer(path, "strace", "-f", "-o", str(tmp_path / "trace"), "-e", f"trace={call}", "-e", inject)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(200)]
    output = "".join(lines) + _kill(writer)

    kept = _kept(path)

    assert _said(output, "refused")
    last_refused = output.rindex("refused")
    assert set(_said(output, "kept")) <= set(kept)
    assert _said(output[:last_refused], "kept")
    assert len(kept) == len(set(kept))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace isn't installed")
def test_whichever_call_fails_nothing_acknowledged_is_lost_and_the_spool_goes_on(tmp_path: Path) -> None:
    for number in range(1, CALLS + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        calls = ("-e", f"trace={DISK_CALLS}", "-e", f"inject={DISK_CALLS}:error=EIO:when={number}")
        trace = ("strace", "-f", "--seccomp-bpf", "-o", str(folder / "trace"), *calls)
        writer = _start_writer(folder / "spool.db", *trace)
        assert writer.stdout is not None
        # Enough to come to the call and beyond it; nothing at all where the spool couldn't be opened.
        output = "".join(itertools.takewhile(bool, (writer.stdout.readline() for _ in range(5 * number))))
        output += _kill(writer)
        kept = _kept(folder / "spool.db")

        assert "(INJECTED)" in (folder / "trace").read_text()
        assert set(_said(output, "kept")) <= set(kept), f"call {number}: an acknowledged record is lost"
        assert len(kept) == len(set(kept))
        assert not list(folder.glob("*.damaged-*")), f"call {number}: a good spool was given up"
        if refused := _said(output, "refused"):
            assert _said(output[output.rindex(refused[-1]) :], "kept"), f"call {number}: it didn't go on"
