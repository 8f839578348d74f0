"""What a runtime declares, and what the gateway makes of it: the sole mechanism of hardware adaptation."""

from enum import StrEnum
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]
PositiveFps = Annotated[float, msgspec.Meta(gt=0, le=1e6)]


class HardwareType(StrEnum):
    """The declared kind of hardware. The gateway reads it in the adaptation table and nowhere else."""

    CPU = "cpu"
    GPU = "gpu"
    JETSON = "jetson"


class SupportedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a runtime has in its repository."""

    model_id: str
    version: str
    loaded: bool


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the runtime measured of one model at its declared batch."""

    fps: float
    p95_ms: float
    batch_size: int = 1


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a runtime's registration, repeated as its heartbeat.

    `grpc_url` is `host:port`, `http_url` is `http://host:port`: Triton's two interfaces. Frames go over HTTP where the
    runtime declares it.
    """

    runtime_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]
    hardware_type: HardwareType
    supports_gpu: bool = False
    gpu_name: str | None = None
    gpu_memory_mb: int | None = None
    cuda_version: str | None = None
    supported_models: tuple[SupportedModel, ...] = ()
    max_fps: PositiveFps
    max_concurrent_streams: Positive
    inference_batch_size: Positive = 1
    memory_available_mb: int | None = None
    version: str
    grpc_url: Annotated[str, msgspec.Meta(min_length=3)]
    http_url: Annotated[str, msgspec.Meta(pattern=r"^http://[^/@?#\s]+$")] | None = None
    metrics_url: str | None = None
    host_id: str | None = None
    shared_memory: bool = False
    measured: dict[str, Measured] = {}

    @property
    def loaded_models(self) -> frozenset[str]:
        """Names of the models that answer now."""
        return frozenset(model.model_id for model in self.supported_models if model.loaded)


class AdaptationRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the adaptation table: the limits for one declared `hardware_type`.

    Attributes:
        max_fps: Cap on the frames/s of a runtime in all; None means what it declares.
        max_camera_fps: Cap on the frames/s of one camera; None means no cap.
        batch_size: Frames in one batch; None means what the runtime declares.
        timeout_ms: A frame that has no answer by then is given up.
    """

    max_fps: PositiveFps | None
    max_camera_fps: PositiveFps | None
    batch_size: Positive | None
    timeout_ms: Positive


AdaptationTable = dict[HardwareType, AdaptationRow]

DEFAULT_ADAPTATION: AdaptationTable = {
    HardwareType.CPU: AdaptationRow(max_fps=30, max_camera_fps=5, batch_size=1, timeout_ms=2000),
    HardwareType.GPU: AdaptationRow(max_fps=None, max_camera_fps=None, batch_size=None, timeout_ms=100),
    HardwareType.JETSON: AdaptationRow(max_fps=50, max_camera_fps=None, batch_size=2, timeout_ms=200),
}


class RuntimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the scheduler keeps to for one runtime.

    Attributes:
        max_fps: Frames per second that are granted in all.
        max_camera_fps: Frames per second of one camera.
        batch_size: Frames in one batch.
        timeout_s: A frame that has no answer by then is given up.
        max_streams: Cameras at once; None for any number.
        most_fps: Frames per second that are ever sent, where that is more than is granted: what a runtime is seen to do
            is a promise to cameras, and no reason to let it rest.
    """

    max_fps: float
    max_camera_fps: float
    batch_size: int
    timeout_s: float
    max_streams: int | None = None
    most_fps: float | None = None

    @property
    def sent_fps(self) -> float:
        """Frames per second that are ever sent."""
        return self.max_fps if self.most_fps is None else self.most_fps

    @property
    def least_in_flight(self) -> int:
        """Frames on their way that fill batches: one batch is computed, one gathers."""
        return 2 * self.batch_size

    @property
    def most_in_flight(self) -> int:
        """Frames on their way at most; not few where batches are small: many processors compute many frames at once."""
        return max(16, 8 * self.batch_size)


def adapt(capability: Capability, table: AdaptationTable) -> RuntimeLimits:
    """Derive a runtime's limits from what it declared. A cap never raises what was declared."""
    row = table[capability.hardware_type]
    max_fps = capability.max_fps if row.max_fps is None else min(row.max_fps, capability.max_fps)
    return RuntimeLimits(
        max_fps=max_fps,
        max_camera_fps=max_fps if row.max_camera_fps is None else min(row.max_camera_fps, max_fps),
        batch_size=row.batch_size or capability.inference_batch_size,
        timeout_s=row.timeout_ms / 1000,
        max_streams=capability.max_concurrent_streams,
    )
