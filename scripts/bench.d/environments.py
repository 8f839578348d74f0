"""Environments under .local/bench for what is measured beside Ruth AI, each made from a file of pinned packages."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from part import CHECKOUT, Bench


class EnvironmentFailedError(Exception):
    """An environment can't be made; says why."""


def environment(bench: Bench, name: str) -> Path:
    """The Python of the environment made from `locks/bench-NAME.txt`; made once for each content of that file.

    Raises:
        EnvironmentFailedError: It can't be made: no network, or a package that isn't to be had.
    """
    lock = CHECKOUT / "locks" / f"bench-{name}.txt"
    folder = bench.folder / "environments" / name
    python, stamp = folder / "bin" / "python", folder / "made-from"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing {lock.relative_to(CHECKOUT)} (once)", file=sys.stderr, flush=True)
        uv = str(Path(sys.executable).parent / "uv")
        _run([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "sync", "-q", "--python", str(python), *_lock_options(lock), str(lock)])
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _lock_options(lock: Path) -> list[str]:
    return ["--require-hashes"] if "--hash=" in lock.read_text(encoding="utf-8") else []


def _run(command: list[str]) -> None:
    environ = {"UV_SYSTEM_CERTS": "1", **os.environ}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise EnvironmentFailedError(f"{' '.join(command[1:4])}: {lines[-1] if lines else done.returncode}")
