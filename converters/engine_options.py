"""How a TensorRT plan is to be built, in the words of TensorRT 10 and 11.

Precision is not among the options: networks are strongly typed, so the graph itself says what runs in FP16 or INT8.
Flags go by name; TensorRT 11 renumbered them.
"""

from dataclasses import dataclass
from hashlib import sha256

from converters.errors import ModelError, UsageError

OLDEST_TENSORRT = 10
_MIB = 2**20
_BUILDER_LEVELS = range(6)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProfile:
    """Batch sizes that a plan accepts, and the one it is tuned for.

    Raises:
        UsageError: They don't ascend from 1; single frames always come, where cameras are few.
    """

    min: int = 1
    opt: int
    max: int

    def __post_init__(self) -> None:
        if not 1 == self.min <= self.opt <= self.max:
            raise UsageError(
                f"batch sizes ascend from 1: MIN,OPT,MAX such as 1,4,8, not {self.min},{self.opt},{self.max}"
            )

    def shapes(self, frame_shape: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Return the least, best and largest shape of `frames` for NV12 frames of `(height * 3 / 2, width)`."""
        return (self.min, *frame_shape), (self.opt, *frame_shape), (self.max, *frame_shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the user may say of a build.

    Attributes:
        profile: Batch sizes.
        workspace_mib: Memory that tactics may use while they run; None leaves it to TensorRT (all of the GPU's).
        builder_level: 0 to 5, how long TensorRT looks for faster tactics; None is its default.
        hardware_compatible: Runs on Ampere and every later architecture, slower.
        version_compatible: Runs in later TensorRT versions too, slower; Triton must be told to accept it.

    Raises:
        UsageError: A value is out of its range.
    """

    profile: BatchProfile
    workspace_mib: int | None = None
    builder_level: int | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False

    def __post_init__(self) -> None:
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise UsageError(f"a workspace is at least 1 MiB, not {self.workspace_mib}")
        if self.builder_level is not None and self.builder_level not in _BUILDER_LEVELS:
            raise UsageError(f"a builder level is 0 to {_BUILDER_LEVELS[-1]}, not {self.builder_level}")

    @property
    def workspace_bytes(self) -> int | None:
        """The workspace in bytes."""
        return None if self.workspace_mib is None else self.workspace_mib * _MIB


def parse_batch(text: str) -> BatchProfile:
    """Return the profile that `MIN,OPT,MAX` stands for.

    Raises:
        UsageError: It is something else.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--batch takes three numbers MIN,OPT,MAX such as 1,4,8, not {text!r}")
    least, best, largest = map(int, parts)
    return BatchProfile(min=least, opt=best, max=largest)


def checked_major(tensorrt: str) -> int:
    """Return the major version of a TensorRT that can build our graphs.

    Raises:
        ModelError: It is older than 10, whose networks can't be strongly typed throughout.
    """
    major = tensorrt.split(".", 1)[0]
    if not major.isdecimal() or int(major) < OLDEST_TENSORRT:
        raise ModelError(
            f"TensorRT {tensorrt or '(unknown)'} can't build it: plans need {OLDEST_TENSORRT} or newer, which images "
            "from 24.05 on carry (`ruth-convert targets`)"
        )
    return int(major)


def network_flags(tensorrt: str) -> tuple[str, ...]:
    """Return the names of the network creation flags; TensorRT 11 knows strongly typed networks only.

    Raises:
        ModelError: TensorRT is too old.
    """
    return ("STRONGLY_TYPED",) if checked_major(tensorrt) < 11 else ()


def trtexec_arguments(
    tensorrt: str, options: EngineOptions, input_name: str, frame_shape: tuple[int, int]
) -> list[str]:
    """Return the options of NVIDIA's `trtexec` that build the same plan as Polygraphy does here.

    Raises:
        ModelError: TensorRT is too old.
    """
    shapes = zip(("min", "opt", "max"), options.profile.shapes(frame_shape), strict=True)
    given = [f"--{kind}Shapes={input_name}:{'x'.join(map(str, shape))}" for kind, shape in shapes]
    if "STRONGLY_TYPED" in network_flags(tensorrt):
        given.append("--stronglyTyped")
    if options.workspace_mib is not None:
        given.append(f"--memPoolSize=workspace:{options.workspace_mib}")
    if options.builder_level is not None:
        given.append(f"--builderOptimizationLevel={options.builder_level}")
    if options.hardware_compatible:
        given.append("--hardwareCompatibilityLevel=ampere+")
    if options.version_compatible:
        given.append("--versionCompatible")
    return [*given, "--noTF32", "--skipInference"]


def timing_cache_name(tensorrt: str, gpu: str) -> str:
    """Return the file name of the timing cache of one TensorRT on one GPU; measurements of another are worthless."""
    readable = "".join(character if character.isalnum() else "_" for character in gpu.lower())[:40]
    return f"trt{tensorrt}-{readable}-{sha256(gpu.encode()).hexdigest()[:8]}.timing"
