"""The GPU of this machine, asked through the driver's own library: the same on servers and Jetsons."""

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import MissingError

DRIVER_LIBRARY = "libcuda.so.1"
_DRIVER_VERSION_FILE = Path("/proc/driver/nvidia/version")
_CAPABILITY_MAJOR = 75  # CUdevice_attribute, cuda.h
_CAPABILITY_MINOR = 76
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What a plan is tied to.

    Attributes:
        name: Of the GPU.
        compute_capability: Such as `8.9`.
        cuda: Newest CUDA that the driver runs, such as `13.0`.
        driver: Version of the driver; empty on a Jetson, where it comes with the system.
    """

    name: str
    compute_capability: str
    cuda: str
    driver: str


def local_gpu() -> Gpu:
    """Return the first GPU.

    Raises:
        MissingError: There is no driver or no GPU.
    """
    try:
        library = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError as error:
        raise MissingError("this machine has no NVIDIA driver") from error
    try:
        text = _DRIVER_VERSION_FILE.read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    return described(library, text)


def described(driver: Any, version_text: str) -> Gpu:  # noqa: ANN401  # a loaded C library
    """Return the first GPU of a driver library.

    Args:
        driver: The library.
        version_text: Of `/proc/driver/nvidia/version`; empty where there is none.

    Raises:
        MissingError: The driver answers with an error.
    """
    device, version = ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _checked("cuInit", driver.cuInit(0))
    _checked("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(device), 0))
    _checked("cuDeviceGetName", driver.cuDeviceGetName(name, _NAME_BYTES, device))
    for value, attribute in ((major, _CAPABILITY_MAJOR), (minor, _CAPABILITY_MINOR)):
        _checked("cuDeviceGetAttribute", driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device))
    _checked("cuDriverGetVersion", driver.cuDriverGetVersion(ctypes.byref(version)))
    found = re.search(r"\b(\d{3}\.\d[\d.]*)\b", version_text)
    return Gpu(
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        driver=found.group(1) if found else "",
    )


def _checked(call: str, status: int) -> None:
    if status != 0:
        raise MissingError(f"this machine has no GPU that can be used ({call} answered {status})")
