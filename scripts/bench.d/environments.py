"""Environments under .local/bench for what is measured beside Ruth AI, each made from a file of pinned packages."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from part import CHECKOUT, Bench

TORCH_FOR_CPUS = re.compile(r"^torch==([\d.]+)\+cpu(?: \\\n +--hash=\S+)*\n", re.MULTILINE)


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
        _run(["venv", "--allow-existing", "--python", sys.executable, str(folder)])
        _fill(python, lock)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def _fill(python: Path, lock: Path) -> None:
    """Install what `lock` pins; torch for CPUs from where PIP_FIND_LINKS says, else PyPI's build with its CUDA."""
    if links := os.environ.get("PIP_FIND_LINKS"):
        hint = f"PIP_FIND_LINKS is {links}; where it isn't set, PyPI's own build of torch is installed"
        _run(["pip", "sync", "--python", str(python), "--find-links", links, "--require-hashes", str(lock)], hint)
        return
    pinned = lock.read_text(encoding="utf-8")
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as others:
        others.write(TORCH_FOR_CPUS.sub("", pinned))
        others.flush()
        _run(["pip", "sync", "--python", str(python), "--require-hashes", others.name])
    for torch in TORCH_FOR_CPUS.finditer(pinned):
        _run(["pip", "install", "--python", str(python), f"torch=={torch[1]}"])


def _run(arguments: list[str], hint: str = "") -> None:
    environ = {"UV_SYSTEM_CERTS": "1", **os.environ}
    uv = Path(sys.executable).parent / "uv"
    done = subprocess.run([uv, *arguments, "--quiet"], env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"status {done.returncode}"
        raise EnvironmentFailedError(f"uv {arguments[0]}: {said}{hint and f' ({hint})'}")
