"""What this machine computes on: a CPU, an NVIDIA GPU (through NVML), or a Jetson (through its device files)."""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_agent.errors import MissingError
from triton_agent.settings import HardwareMode

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hardware:
    """Detected hardware.

    Attributes:
        kind: `cpu`, `gpu` or `jetson`; never `auto`.
        memory_available_mb: MiB that a model could still take: of the GPU's memory, else of the machine's.
        gpu_name: Marketing name; None without a GPU.
        gpu_memory_mb: MiB of GPU memory; on a Jetson the memory it shares with the CPU. None without a GPU.
        cuda_version: Newest CUDA version that the driver supports, like `12.4`; None if unknown.
    """

    kind: HardwareMode
    memory_available_mb: int
    gpu_name: str | None = None
    gpu_memory_mb: int | None = None
    cuda_version: str | None = None


def detect(mode: HardwareMode, root: Path = Path("/"), nvml: Any = None) -> Hardware:  # noqa: ANN401 # a module
    """Find the hardware, or confirm what the operator says it is.

    Args:
        mode: AUTO looks for a Jetson, then for an NVIDIA GPU, else it is the CPU; the others insist.
        root: Where `/etc`, `/proc` and `/usr` are looked for.
        nvml: A module with pynvml's functions; pynvml itself by default.

    Raises:
        MissingError: The mode insists on hardware that is not there.
    """
    if mode is HardwareMode.CPU:
        return _cpu(root)
    if mode in (HardwareMode.JETSON, HardwareMode.AUTO) and is_jetson(root):
        return _jetson(root)
    if mode is HardwareMode.JETSON:
        raise MissingError("this is no Jetson: neither /etc/nv_tegra_release nor /proc/device-tree/model says so")
    gpu = _gpu(nvml)
    if gpu is None and mode is HardwareMode.GPU:
        raise MissingError("no NVIDIA GPU: NVML finds no driver or no device (is the container started with --gpus?)")
    return gpu or _cpu(root)


def is_jetson(root: Path = Path("/")) -> bool:
    """Whether the device files of a Jetson are there."""
    return (root / "etc/nv_tegra_release").is_file() or "Jetson" in _device_model(root)


def _device_model(root: Path) -> str:
    path = root / "proc/device-tree/model"
    return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n") if path.is_file() else ""


def _jetson(root: Path) -> Hardware:
    memory = _meminfo_mb(root)
    return Hardware(
        HardwareMode.JETSON,
        memory["MemAvailable"],
        _device_model(root) or "NVIDIA Jetson",
        memory["MemTotal"],
        _toolkit_version(root),
    )


def _toolkit_version(root: Path) -> str | None:
    path = root / "usr/local/cuda/version.json"
    if not path.is_file():
        return None
    version = str(json.loads(path.read_text(encoding="utf-8"))["cuda"]["version"])
    return ".".join(version.split(".")[:2])


def _gpu(nvml: Any) -> Hardware | None:  # noqa: ANN401 # a module
    """The first GPU that NVML shows, None without a driver or a device."""
    if nvml is None:
        nvml = importlib.import_module("pynvml")  # takes 60 ms: only loaded where hardware is looked for
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        device = nvml.nvmlDeviceGetHandleByIndex(0)
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        name = nvml.nvmlDeviceGetName(device)
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()  # 1000 * major + 10 * minor
        return Hardware(
            HardwareMode.GPU,
            memory.free // MIB,
            name.decode() if isinstance(name, bytes) else name,
            memory.total // MIB,
            f"{cuda // 1000}.{cuda % 1000 // 10}",
        )
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _cpu(root: Path) -> Hardware:
    available = _meminfo_mb(root)["MemAvailable"]
    limit = _cgroup_headroom_mb(root)
    return Hardware(HardwareMode.CPU, available if limit is None else min(available, limit))


def _meminfo_mb(root: Path) -> dict[str, int]:
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    return {name: int(value.split()[0]) // 1024 for name, _, value in (line.partition(":") for line in lines)}


def _cgroup_headroom_mb(root: Path) -> int | None:
    """MiB below the container's memory limit (cgroup v2), None where there is no limit."""
    limit, used = (root / "sys/fs/cgroup" / name for name in ("memory.max", "memory.current"))
    if not (limit.is_file() and used.is_file()) or (text := limit.read_text().strip()) == "max":
        return None
    return max(0, int(text) - int(used.read_text())) // MIB
