"""Put a local Triton in place from pinned wheels: download, check, unpack beside, rename."""

import fcntl
import hashlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from triton_agent.debian import fetch_library
from triton_agent.errors import MissingError
from triton_agent.locate import link_backends, python_tag
from triton_agent.wheels import PERF_ANALYZER, PERF_ANALYZER_LIBRARIES, TRITONSERVER, TRITONSERVER_GLIBC, Wheel

STAMP = "installed.json"
EXECUTABLES = ("bin/tritonserver", "bin/perf_analyzer", "triton_python_backend_stub")
ELSEWHERE = "use NVIDIA's image instead (nvcr.io/nvidia/tritonserver)"


def install_tritonserver(home: Path, say: Callable[[str], None]) -> None:
    """Install tritonserver, its Python backend and the stub for the running Python into `home`.

    Does nothing when that is what `home` holds already. A broken or older installation is replaced in one rename.

    Raises:
        MissingError: This machine can't run the wheel, or it can't be downloaded.
    """
    library = shared_python()
    stamp = {"wheel": TRITONSERVER.sha256, "python": python_tag(), "library": str(library or "bundled")}
    with _alone(home):
        if _stamp(home) == stamp:
            say(f"tritonserver is in place: {home}")
            return
        check_platform()
        with _staged(home) as stage:
            say(f"downloading {TRITONSERVER.filename}")
            unpack(
                download(TRITONSERVER, stage),
                stage,
                ("pytriton/tritonserver/", "nvidia_pytriton.libs/", "nvidia_pytriton-"),
            )
            _place_stub(stage, library)
            (stage / STAMP).write_text(json.dumps(stamp))
        say(f"tritonserver installed: {home}")


def install_perf_analyzer(home: Path, say: Callable[[str], None]) -> None:
    """Install NVIDIA's perf_analyzer into `home/perf_analyzer`, on the libraries of the tritonserver beside it.

    Raises:
        MissingError: tritonserver is not installed there, or the wheel can't be downloaded.
    """
    libraries = home / "nvidia_pytriton.libs"
    if not libraries.is_dir():
        raise MissingError(
            "perf_analyzer uses the libraries of the local tritonserver: run `ruth-triton install` first"
        )
    target = home / "perf_analyzer"
    stamp = {"wheel": PERF_ANALYZER.sha256}
    with _alone(home):
        if _stamp(target) == stamp:
            say(f"perf_analyzer is in place: {target}")
            return
        with _staged(target) as stage:
            say(f"downloading {PERF_ANALYZER.filename}")
            unpack(
                download(PERF_ANALYZER, stage),
                stage,
                ("tritonclient-2.44.0.data/data/bin/perf_analyzer", "tritonclient-2.44.0.dist-info/"),
            )
            (stage / "tritonclient-2.44.0.data/data/bin").rename(stage / "bin")
            for name, pattern in PERF_ANALYZER_LIBRARIES.items():
                found = next(libraries.glob(pattern))
                (stage / name).symlink_to(Path("..", libraries.name, found.name))
            (stage / STAMP).write_text(json.dumps(stamp))
        say(f"perf_analyzer installed: {target}")


def check_platform() -> None:
    """Refuse machines that the wheel was not built for.

    Raises:
        MissingError: Not Linux on x86-64 with a new enough glibc.
    """
    libc, version = platform.libc_ver()
    here = f"{platform.system()} {platform.machine()} {libc or 'unknown libc'} {version}".strip()
    needed = f"Linux x86_64 with glibc ≥ {'.'.join(map(str, TRITONSERVER_GLIBC))}"
    recent = libc == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= TRITONSERVER_GLIBC
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not recent:
        raise MissingError(f"the local tritonserver needs {needed}, this is {here}: {ELSEWHERE}")


def shared_python() -> Path | None:
    """The running Python's shared library, which the stub embeds; None if it came without one, as Debian's does."""
    folder = Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    places = (folder, folder / multiarch, Path(sys.base_prefix, "lib"), Path("/usr/lib", multiarch))
    return next((place / library_name() for place in places if (place / library_name()).is_file()), None)


def library_name() -> str:
    """File name of the shared library that the stub for the running Python asks for."""
    return f"libpython{python_tag()}.so.1.0"


def download(wheel: Wheel, folder: Path) -> Path:
    """Fetch a wheel with pip from whatever index this machine's pip uses, and check its hash.

    Raises:
        MissingError: pip is not there, or can't get the file; the message ends with pip's own reason.
    """
    if importlib.util.find_spec("pip") is None:
        raise MissingError(f"{sys.executable} has no pip: run `{sys.executable} -m ensurepip`")
    requirements = folder / "requirements.txt"
    requirements.write_text(wheel.requirement)
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "-q", "-d", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    path = folder / wheel.filename
    if done.returncode or not path.is_file():
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [done.stderr.strip()]
        raise MissingError(f"can't download {wheel.filename} (is there a network and a package index?): {reasons[-1]}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != wheel.sha256:
            raise MissingError(f"{wheel.filename} does not have the pinned sha256: the index serves another file")
    return path


def unpack(wheel: Path, folder: Path, prefixes: tuple[str, ...]) -> None:
    """Extract the members of a wheel that begin with one of the prefixes, then delete the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(prefixes)])
    for path in folder.rglob("*"):
        if path.as_posix().endswith(EXECUTABLES) and path.is_file():
            path.chmod(0o755)
    wheel.unlink()


def _place_stub(home: Path, library: Path | None) -> None:
    """Put the stub where Triton looks for it, and Python's library where the stub's own search path (RPATH) does."""
    tree = home / "pytriton/tritonserver"
    link = tree / "backends/python/triton_python_backend_stub"
    link.symlink_to(Path("../../python_backend_stubs", python_tag(), link.name))
    if not link.is_file():
        raise MissingError(f"{TRITONSERVER.filename} has no Python backend for Python {python_tag()}: {ELSEWHERE}")
    libraries = home / "nvidia_pytriton.libs"
    if library is None:
        fetch_library(f"libpython{python_tag()}", library_name(), libraries)
    else:
        (libraries / library.name).symlink_to(library)
    link_backends(tree / "backends")


def _stamp(folder: Path) -> object:
    path = folder / STAMP
    return json.loads(path.read_text()) if path.is_file() else None


@contextmanager
def _alone(home: Path) -> Generator[None]:
    """Keep a second installation out until this one is done."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f".{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _staged(target: Path) -> Generator[Path]:
    """A folder beside the target that takes its place when the block ends well, and vanishes when it does not."""
    for stale in target.parent.glob(f".{target.name}.stage-*"):
        shutil.rmtree(stale)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.stage-", dir=target.parent))
    replaced = stage.with_name(f"{stage.name}.old")
    try:
        yield stage
        stage.chmod(0o755)
        if target.exists():
            target.rename(replaced)
        stage.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
