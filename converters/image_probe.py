"""What a Triton image really carries: a container looks for the libraries. A table may be wrong, a file is not."""

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import MissingError, ModelError

PROBE_TIMEOUT_S = 1800.0
"""Pulling an image of ten gigabytes is part of it."""

EVERY_GPU = ("--gpus", "all")
JETSON_GPU = ("--runtime", "nvidia")
"""How Docker gives a container the GPU: the second on a Jetson, whose GPU is no PCI device."""

_TRTEXEC = ("/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec")
_PROBE_SCRIPT = (
    'echo "triton=$TRITON_SERVER_VERSION"; echo "cuda=$CUDA_VERSION"; '
    "for f in $(find / -xdev -name 'libnvinfer.so.*.*' 2>/dev/null); do echo \"library=$f\"; done; "
    'echo "package=$(dpkg-query -W libnvinfer-bin libnvinfer10 libnvinfer11 2>/dev/null | head -n1)"; '
    'echo "declared=$TRT_VERSION"; '
    f'for f in $(command -v trtexec) {" ".join(_TRTEXEC)}; do [ -x $f ] && echo "trtexec=$f"; done; '
    'echo "gpu=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>/dev/null | head -n1)"'
)


@dataclass(frozen=True, slots=True)
class Finished:
    """What came of a command.

    Attributes:
        status: Exit status.
        output: Stdout and stderr together.
    """

    status: int
    output: str


Runner = Callable[[Sequence[str], float], Finished]
"""`(command, timeout_s)` → its end; raises MissingError where there is no such program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image says of itself.

    Attributes:
        tensorrt: Version of the library that is there.
        cuda: Version of its CUDA runtime; may be empty.
        trtexec: Path of the tool; empty where the image has none.
        gpu: Name of the GPU that a container sees; empty without one, or where nvidia-smi doesn't tell (Jetson).
        compute_capability: Of that GPU; may be empty.
        driver: Version of its driver; may be empty.
    """

    tensorrt: str
    cuda: str
    trtexec: str
    gpu: str = ""
    compute_capability: str = ""
    driver: str = ""


def run(command: Sequence[str], timeout_s: float) -> Finished:
    """Run a command to its end.

    Raises:
        MissingError: There is no such program.
        ModelError: It ran past its time.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{shlex.join(command)} did not end within {timeout_s:g} s") from error
    return Finished(done.returncode, done.stdout.decode(errors="replace"))


def docker_usable(runner: Runner = run) -> bool:
    """Return whether a Docker daemon answers."""
    try:
        return runner(["docker", "version", "--format", "{{.Server.Version}}"], 20.0).status == 0
    except MissingError:
        return False


def has_image(reference: str, runner: Runner = run) -> bool:
    """Return whether Docker holds an image already, so that asking it costs no download."""
    return runner(["docker", "image", "inspect", "--format", "{{.Id}}", reference], 20.0).status == 0


def probe(reference: str, runner: Runner = run, devices: Sequence[str] = EVERY_GPU) -> ImageFacts:
    """Ask an image what it carries, by a container that looks for the libraries themselves.

    Args:
        reference: Of the image.
        runner: Runs commands.
        devices: What gives the container a GPU; nothing where it needs none.

    Raises:
        ModelError: The image can't be run or holds no TensorRT.
        MissingError: Docker can't give a container a GPU.
    """
    done = runner(docker_run(reference, ["sh", "-c", _PROBE_SCRIPT], devices=devices), PROBE_TIMEOUT_S)
    if done.status != 0 and "could not select device driver" in done.output:
        raise MissingError("Docker can't give a container a GPU; install the NVIDIA Container Toolkit")
    if done.status != 0:
        raise ModelError(f"{reference} can't be run: {last_line(done.output)}")
    return parse_probe(reference, done.output)


def parse_probe(reference: str, output: str) -> ImageFacts:
    """Return what the probe's lines say; the package's four-part version is used where it agrees with the library's.

    Raises:
        ModelError: There is no TensorRT library, or there are several.
    """
    lines = [line.partition("=") for line in output.splitlines() if "=" in line]
    said: dict[str, list[str]] = {}
    for key, _, value in lines:
        said.setdefault(key, []).append(value.strip())
    libraries = {version for path in said.get("library", []) if (version := _library_version(path))}
    if len(libraries) != 1:
        found = f"several TensorRTs ({', '.join(sorted(libraries))})" if libraries else "no TensorRT"
        raise ModelError(f"{reference} holds {found}; give --in-image an image that `ruth-convert targets` lists")
    library = libraries.pop()
    gpu, capability, driver = ([part.strip() for part in said.get("gpu", [""])[0].split(",")] + ["", "", ""])[:3]
    return ImageFacts(
        tensorrt=next(
            (full for text in ("package", "declared") if (full := _extends(library, said.get(text, [""])[0]))), library
        ),
        cuda=said.get("cuda", [""])[0],
        trtexec=said.get("trtexec", [""])[0],
        gpu=gpu,
        compute_capability=capability,
        driver=driver,
    )


def docker_run(
    reference: str, command: Sequence[str], *, devices: Sequence[str], folder: tuple[Path, str] | None = None
) -> list[str]:
    """Return the command that runs another inside an image, in place of the image's own entry point.

    Args:
        reference: Of the image.
        command: Program and arguments.
        devices: What gives the container a GPU.
        folder: One of this machine, absolute, and where the container sees it; None shares nothing.
    """
    shared = ["--mount", f"type=bind,src={folder[0]},dst={folder[1]}"] if folder else []
    return ["docker", "run", "--rm", *devices, *shared, "--entrypoint", command[0], reference, *command[1:]]


def last_line(output: str) -> str:
    """Return the last line of a log, where most programs say what ended them."""
    return (output.strip().splitlines() or ["no message"])[-1][:300]


def _library_version(path: str) -> str | None:
    """`/usr/lib/x86_64-linux-gnu/libnvinfer.so.10.5.0` is 10.5.0; a link with fewer numbers says nothing."""
    found = re.search(r"libnvinfer\.so\.(\d+\.\d+\.\d+(?:\.\d+)?)$", path)
    return found.group(1) if found else None


def _extends(library: str, text: str) -> str | None:
    found = re.search(r"\d+\.\d+\.\d+\.\d+", text)
    return found.group(0) if found and found.group(0).startswith(f"{library}.") else None
