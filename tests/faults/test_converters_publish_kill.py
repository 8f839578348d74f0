"""kill -9 of the whole `ruth-convert onnx`, trial Triton included, at random moments."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from converters import integrity
from converters.repository import Repository
from tests.support.tiny_yolox import saved, tiny_yolox

KILLS = 50


def publication(model, root, threshold):
    """Start one publication, in a session of its own."""
    arguments = ["onnx", model, "--name", "people", "--repository", root, "--max-batch-size", "1", "--instances", "1"]
    command = [sys.executable, "-m", "converters", *map(str, arguments), "--score-threshold", f"{threshold:.4f}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def state(root):
    """Text of config.pbtxt and the version it serves, whose files are those of its manifest; None before the first."""
    repository = Repository(root)
    text = repository.config("people")
    if text is None:
        assert repository.names() == []
        return None
    version = repository.served_version("people")
    integrity.check(root / "people" / str(version))
    return text, version


def processes_of(session):
    """Return the living processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, _parent, _group, own = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and int(own) == session:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_publication_killed_at_any_moment_leaves_the_old_state_or_the_new_and_no_process(tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    print(f"\nseed {seed}")
    moments = random.Random(seed)
    model, root = saved(tiny_yolox(), tmp_path / "tiny.onnx"), tmp_path / "models"
    start = time.monotonic()
    assert publication(model, tmp_path / "timed", 0.3).wait(timeout=120) == 0
    whole_s = time.monotonic() - start
    before, killed = None, 0
    for attempt in range(KILLS):
        running = publication(model, root, 0.3 + attempt / 1000)
        try:
            running.wait(timeout=moments.uniform(0, 1.1 * whole_s))
        except subprocess.TimeoutExpired:
            killed += 1
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        after = state(root)
        assert after == before or f"{0.3 + attempt / 1000:.4f}".rstrip("0") in after[0], (seed, attempt)
        before = after
        gone_by = time.monotonic() + 15
        while processes_of(running.pid) and time.monotonic() < gone_by:
            time.sleep(0.1)
        assert processes_of(running.pid) == [], (seed, attempt)
    assert killed > KILLS / 2
    assert publication(model, root, 0.5).wait(timeout=120) == 0
    assert "0.5" in state(root)[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models", "timed", "tiny.onnx"]
