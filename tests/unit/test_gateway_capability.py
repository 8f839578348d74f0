"""What the gateway makes of a declaration."""

import msgspec
import pytest

from gateway.domain.capability import DEFAULT_ADAPTATION, Capability, HardwareType, RuntimeLimits, adapt


def declared(**changes: object) -> Capability:
    fields: dict[str, object] = {
        "runtime_id": "triton-1",
        "hardware_type": "cpu",
        "max_fps": 120,
        "max_concurrent_streams": 4,
        "inference_batch_size": 8,
        "version": "1",
        "grpc_url": "127.0.0.1:8001",
    }
    return msgspec.convert(fields | changes, Capability)


@pytest.mark.parametrize(
    ("hardware", "limits"),
    [
        ("cpu", RuntimeLimits(max_fps=30, max_camera_fps=5, batch_size=1, timeout_s=2.0, max_streams=4)),
        ("gpu", RuntimeLimits(max_fps=120, max_camera_fps=120, batch_size=8, timeout_s=0.1, max_streams=4)),
        ("jetson", RuntimeLimits(max_fps=50, max_camera_fps=50, batch_size=2, timeout_s=0.2, max_streams=4)),
    ],
)
def test_each_kind_of_hardware_has_its_limits(hardware: str, limits: RuntimeLimits):
    assert adapt(declared(hardware_type=hardware), DEFAULT_ADAPTATION) == limits


def test_a_cap_never_raises_what_was_declared():
    limits = adapt(declared(max_fps=3), DEFAULT_ADAPTATION)
    assert (limits.max_fps, limits.max_camera_fps) == (3, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_fps": 0},
        {"max_fps": -1},
        {"max_fps": float("inf")},
        {"max_fps": float("nan")},
        {"inference_batch_size": 0},
        {"max_concurrent_streams": 0},
        {"runtime_id": ""},
        {"runtime_id": "a b"},
        {"hardware_type": "tpu"},
        {"http_url": "127.0.0.1:8000"},
        {"http_url": "file:///etc/passwd"},
    ],
)
def test_a_declaration_that_cannot_be_kept_to_is_refused(changes: dict[str, object]):
    with pytest.raises(msgspec.ValidationError):
        declared(**changes)


def test_every_kind_of_hardware_has_a_row():
    assert set(DEFAULT_ADAPTATION) == set(HardwareType)
