"""Asking a CUDA driver library about its first GPU."""

import ctypes
from types import SimpleNamespace

import pytest

from converters import cuda_device
from converters.cuda_device import Gpu, described, local_gpu
from converters.errors import MissingError

ORIN = {75: 8, 76: 7}


def driver(name=b"Orin", version=12060, **statuses):
    def get_name(buffer, length, device):
        buffer.value = name
        return 0

    def get_attribute(value, attribute, device):
        value._obj.value = ORIN[attribute]
        return 0

    def get_version(value):
        value._obj.value = version
        return 0

    calls = {
        "cuInit": lambda _flags: 0,
        "cuDeviceGet": lambda _device, _ordinal: 0,
        "cuDeviceGetName": get_name,
        "cuDeviceGetAttribute": get_attribute,
        "cuDriverGetVersion": get_version,
    }
    return SimpleNamespace(**calls | {call: lambda *_, status=status: status for call, status in statuses.items()})


def test_a_gpu_is_described_by_name_capability_cuda_and_driver():
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  560.35.03  Fri Aug 16 21:39:15 UTC 2024"
    assert described(driver(), text) == Gpu(name="Orin", compute_capability="8.7", cuda="12.6", driver="560.35.03")
    assert described(driver(version=13010), "").cuda == "13.1"
    assert described(driver(), "").driver == ""


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDriverGetVersion"])
def test_a_driver_without_a_gpu_is_something_missing(call):
    with pytest.raises(MissingError, match=f"{call} answered 100"):
        described(driver(**{call: 100}), "")


def test_a_machine_without_the_driver_says_so(monkeypatch):
    monkeypatch.setattr(cuda_device, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so.1")
    with pytest.raises(MissingError, match="no NVIDIA driver"):
        local_gpu()


def test_the_calls_are_those_of_the_real_library_where_there_is_one():
    try:
        library = ctypes.CDLL(cuda_device.DRIVER_LIBRARY)
    except OSError:
        pytest.skip("no NVIDIA driver")
    assert all(hasattr(library, call) for call in vars(driver()))
