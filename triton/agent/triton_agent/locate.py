"""Where tritonserver is: NVIDIA's image, `$RUTH_TRITON_HOME`, or the checkout's `.local/tritonserver`."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triton_agent.errors import MissingError

OFFICIAL = Path("/opt/tritonserver")
TRITON_FOLDER = Path(__file__).resolve().parents[2]
OUR_BACKENDS = TRITON_FOLDER / "backends"
NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
"""ONNX Runtime otherwise gives the machine an id and reports to its vendor."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A tritonserver that can be started.

    Attributes:
        server: The executable.
        backends: Folder for `--backend-directory`, None for the server's own default.
        environment: Variables that it needs on top of the agent's.
    """

    server: Path
    backends: Path | None
    environment: Mapping[str, str]


def local_home(env: Mapping[str, str]) -> Path:
    """The folder of the local Triton: `$RUTH_TRITON_HOME`, else `.local/tritonserver` in the checkout."""
    return Path(env.get("RUTH_TRITON_HOME") or TRITON_FOLDER.parent / ".local/tritonserver")


def python_tag() -> str:
    """`X.Y` of the running Python: the stub that loads our backend must be built for it."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def find(env: Mapping[str, str], official: Path = OFFICIAL) -> Installation:
    """The tritonserver to start, with our backends in place.

    Raises:
        MissingError: There is none, or it was installed for another Python.
    """
    if (official / "bin/tritonserver").is_file():
        return Installation(official / "bin/tritonserver", None, NO_TELEMETRY)
    tree = local_home(env) / "pytriton/tritonserver"
    stub = tree / f"python_backend_stubs/{python_tag()}/triton_python_backend_stub"
    placed = tree / "backends/python/triton_python_backend_stub"
    if not (tree / "bin/tritonserver").is_file():
        raise MissingError(f"no tritonserver in {official} or {local_home(env)}: run `ruth-triton install`")
    if not placed.is_symlink() or placed.resolve() != stub.resolve():
        raise MissingError(f"{local_home(env)} was not installed for Python {python_tag()}: run `ruth-triton install`")
    link_backends(tree / "backends")
    return Installation(tree / "bin/tritonserver", tree / "backends", _python_environment(env))


def link_backends(folder: Path) -> None:
    """Make every backend of this checkout appear in Triton's folder; an edit there takes effect at the next start."""
    for source in (path for path in OUR_BACKENDS.iterdir() if (path / "model.py").is_file()):
        link = folder / source.name
        if link.is_symlink() and link.resolve() == source:
            continue
        fresh = folder / f".{source.name}.{os.getpid()}"
        fresh.symlink_to(source)
        fresh.replace(link)


def _python_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Make the stub's embedded interpreter this one: its `python3` first on PATH, its packages importable."""
    scripts = Path(sys.executable).parent
    return {
        "PATH": f"{scripts}{os.pathsep}{env.get('PATH', os.defpath)}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        **NO_TELEMETRY,
    }
