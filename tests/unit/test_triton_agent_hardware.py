"""Hardware detection from device files and from NVML's answers."""

from types import SimpleNamespace

import pytest
from triton_agent.errors import MissingError
from triton_agent.hardware import Hardware, detect
from triton_agent.settings import HardwareMode


class NvmlError(Exception):
    """What NVML raises."""


def nvml(**changes):
    """NVML's answers on a machine with one Tesla T4."""
    answers = {
        "NVMLError": NvmlError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda index: f"gpu{index}",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=16106127360, free=15728640000),
        "nvmlDeviceGetName": lambda _: "Tesla T4",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12040,
    }
    return SimpleNamespace(**answers | changes)


def no_driver():
    raise NvmlError("libnvidia-ml.so.1")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       8388608 kB\nMemAvailable:   4194304 kB\n")
    return tmp_path


def test_a_machine_without_a_gpu_is_a_cpu(root):
    assert detect(HardwareMode.AUTO, root, nvml(nvmlInit=no_driver)) == Hardware(HardwareMode.CPU, 4096)


def test_a_container_has_no_more_memory_than_its_limit_leaves(root):
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/memory.max").write_text("1073741824\n")
    (root / "sys/fs/cgroup/memory.current").write_text("536870912\n")
    assert detect(HardwareMode.CPU, root).memory_available_mb == 512
    (root / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert detect(HardwareMode.CPU, root).memory_available_mb == 4096


def test_an_nvidia_gpu_is_described_by_nvml(root):
    assert detect(HardwareMode.AUTO, root, nvml()) == Hardware(HardwareMode.GPU, 15000, "Tesla T4", 15360, "12.4")


def test_a_gpu_that_is_there_is_left_alone_when_the_operator_says_cpu(root):
    assert detect(HardwareMode.CPU, root, nvml()).kind is HardwareMode.CPU


@pytest.mark.parametrize("path", ["etc/nv_tegra_release", "proc/device-tree/model"])
def test_a_jetson_is_known_by_either_of_its_device_files(root, path):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    found = detect(HardwareMode.AUTO, root, nvml(nvmlInit=no_driver))
    assert (found.kind, found.gpu_memory_mb, found.memory_available_mb) == (HardwareMode.JETSON, 8192, 4096)


def test_a_jetson_tells_its_name_and_its_toolkits_version(root):
    (root / "proc/device-tree/model").write_text("NVIDIA Jetson AGX Orin Developer Kit\0")
    (root / "usr/local/cuda").mkdir(parents=True)
    (root / "usr/local/cuda/version.json").write_text('{"cuda": {"name": "CUDA SDK", "version": "12.6.11"}}')
    found = detect(HardwareMode.AUTO, root)
    assert (found.gpu_name, found.cuda_version) == ("NVIDIA Jetson AGX Orin Developer Kit", "12.6")


def test_another_arm_board_is_no_jetson(root):
    (root / "proc/device-tree/model").write_text("Raspberry Pi 5 Model B Rev 1.0\0")
    assert detect(HardwareMode.AUTO, root, nvml(nvmlInit=no_driver)).kind is HardwareMode.CPU


@pytest.mark.parametrize(("mode", "named"), [(HardwareMode.GPU, "NVML"), (HardwareMode.JETSON, "nv_tegra_release")])
def test_hardware_that_is_insisted_on_but_absent_is_an_error_that_names_it(root, mode, named):
    with pytest.raises(MissingError, match=named):
        detect(mode, root, nvml(nvmlInit=no_driver))
