"""The capability declaration: what a runtime says about itself, and all that the gateway knows of hardware."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

from triton_agent.hardware import Hardware
from triton_agent.host import host_id
from triton_agent.measurement import Measured
from triton_agent.settings import Declared, Endpoint, HardwareMode
from triton_agent.triton_api import ServedModel


@dataclass(frozen=True, slots=True)
class Limits:
    """What a class of hardware is good for, unless it was measured or the operator says otherwise."""

    max_fps: int
    batch_size: int


LIMITS = {
    HardwareMode.CPU: Limits(max_fps=30, batch_size=1),
    HardwareMode.GPU: Limits(max_fps=100, batch_size=4),
    HardwareMode.JETSON: Limits(max_fps=50, batch_size=2),
}


def declared_batch_size(declared: Declared, kind: HardwareMode) -> int:
    """Frames in one request: as configured, else what the hardware is good for."""
    return declared.batch_size or LIMITS[kind].batch_size


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The body of `POST /api/internal/runtime/register`, field for field.

    Attributes:
        runtime_id: Stable name of this runtime.
        hardware_type: `cpu`, `gpu` or `jetson`.
        supports_gpu: Whether models can run on a GPU.
        gpu_name: None for a CPU, as the next two.
        gpu_memory_mb: MiB.
        cuda_version: Like `12.4`.
        supported_models: Every version of every model that Triton knows of.
        max_fps: Frames per second in all.
        max_concurrent_streams: Cameras at once.
        inference_batch_size: Frames in one request.
        memory_available_mb: MiB that are free now.
        version: This agent's version.
        grpc_url: `host:port` of Triton's gRPC interface.
        http_url: Address of Triton's HTTP interface.
        metrics_url: Address of Triton's Prometheus metrics.
        host_id: Equal for processes with a common `/dev/shm` (see `host.host_id`).
        shared_memory: Whether clients on the same host may register system shared memory.
        measured: What each loaded model did that was measured, by name.
    """

    runtime_id: str
    hardware_type: str
    supports_gpu: bool
    gpu_name: str | None
    gpu_memory_mb: int | None
    cuda_version: str | None
    supported_models: Sequence[ServedModel]
    max_fps: int
    max_concurrent_streams: int
    inference_batch_size: int
    memory_available_mb: int
    version: str
    grpc_url: str
    http_url: str
    metrics_url: str
    host_id: str | None
    shared_memory: bool
    measured: Mapping[str, Measured]

    def as_json(self) -> dict[str, object]:
        """The declaration as plain values, ready to be sent."""
        return asdict(self)


def declare(
    runtime_id: str,
    hardware: Hardware,
    declared: Declared,
    endpoint: Endpoint,
    models: Sequence[ServedModel],
    *,
    shared_memory: bool,
    measured: Mapping[str, Measured],
) -> Capabilities:
    """Put a declaration together from what was detected, configured, asked of Triton and measured.

    Where no `max_fps` is configured it is what the fastest model was measured to do: no mix of models does more.
    """
    limits = LIMITS[hardware.kind]
    measured_fps = max((each.fps for each in measured.values()), default=limits.max_fps)
    max_fps = declared.max_fps or max(1, round(measured_fps))
    host = endpoint.reachable_host
    this_host = host_id()
    return Capabilities(
        runtime_id=runtime_id,
        hardware_type=hardware.kind.value,
        supports_gpu=hardware.kind is not HardwareMode.CPU,
        gpu_name=hardware.gpu_name,
        gpu_memory_mb=hardware.gpu_memory_mb,
        cuda_version=hardware.cuda_version,
        supported_models=tuple(models),
        max_fps=max_fps,
        max_concurrent_streams=declared.max_concurrent_streams or max_fps,  # at least a frame a second each
        inference_batch_size=declared_batch_size(declared, hardware.kind),
        memory_available_mb=hardware.memory_available_mb,
        version=version("ruth-ai"),
        grpc_url=f"{host}:{endpoint.grpc_port}",
        http_url=f"http://{host}:{endpoint.http_port}",
        metrics_url=f"http://{host}:{endpoint.metrics_port}/metrics",
        host_id=this_host,
        shared_memory=shared_memory and this_host is not None,
        measured=measured,
    )
