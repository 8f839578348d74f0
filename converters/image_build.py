"""Building a plan inside the Triton image that will load it, by its own `trtexec`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.engine_options import EngineOptions, trtexec_arguments
from converters.errors import ModelError
from converters.image_probe import EVERY_GPU, ImageFacts, Runner, docker_run, last_line, run
from converters.spec import INPUT_NAME

BUILD_TIMEOUT_S = 4 * 3600.0
MODEL_FILE = "model.onnx"
PLAN_FILE = "model.plan"
_FOLDER = "/build"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltBy:
    """What `trtexec` said while it built.

    Attributes:
        tensorrt: Its version.
        gpu: Name of the GPU.
        compute_capability: Of the GPU.
    """

    tensorrt: str
    gpu: str
    compute_capability: str


def build_command(
    reference: str,
    folder: Path,
    facts: ImageFacts,
    options: EngineOptions,
    frame_shape: tuple[int, int],
    cache: str,
    devices: Sequence[str] = EVERY_GPU,
) -> list[str]:
    """Return the command that builds `model.plan` from `model.onnx`, both in one folder, inside an image.

    Args:
        reference: Of the image.
        folder: Absolute path of the folder; the container sees nothing else of this machine.
        facts: Of the image.
        options: How to build.
        frame_shape: Of one NV12 frame.
        cache: File name of the timing cache in the folder.
        devices: What gives the container a GPU.

    Raises:
        ModelError: The image has no `trtexec`, or its TensorRT is too old.
    """
    if not facts.trtexec:
        release = reference.rpartition(":")[2]
        raise ModelError(
            f"{reference} has no trtexec to build with; NVIDIA's TensorRT image of the same release has: "
            f"--in-image nvcr.io/nvidia/tensorrt:{release}"
        )
    build = [
        facts.trtexec,
        f"--onnx={_FOLDER}/{MODEL_FILE}",
        f"--saveEngine={_FOLDER}/{PLAN_FILE}",
        f"--timingCacheFile={_FOLDER}/{cache}",
        *trtexec_arguments(facts.tensorrt, options, INPUT_NAME, frame_shape),
    ]
    return docker_run(reference, build, devices=devices, folder=(folder, _FOLDER))


def build(command: Sequence[str], runner: Runner = run) -> BuiltBy:
    """Run a build command and return what built the plan.

    Raises:
        ModelError: The build failed, or its log doesn't say what built it.
    """
    done = runner(command, BUILD_TIMEOUT_S)
    if done.status != 0:
        errors = [line for line in done.output.splitlines() if "[E]" in line] or [last_line(done.output)]
        raise ModelError("trtexec can't build it:\n" + "\n".join(errors[:8]))
    return parse_build_log(done.output)


def parse_build_log(output: str) -> BuiltBy:
    """Return what `trtexec` prints of itself and the GPU.

    Raises:
        ModelError: It doesn't.
    """
    patterns = (r"TensorRT version: (\S+)", r"Selected Device: (.+)", r"Compute Capability: (\S+)")
    found = [re.search(pattern, output) for pattern in patterns]
    if not all(found):
        raise ModelError("trtexec built a plan but does not say by what and for which GPU; build with another image")
    tensorrt, gpu, capability = (match.group(1).strip() for match in found if match)
    return BuiltBy(tensorrt=tensorrt, gpu=gpu, compute_capability=capability)
