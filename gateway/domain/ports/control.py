"""What the API steers."""

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.camera import Camera, CameraSettings, CameraStatus
from gateway.domain.capability import Capability
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.rule import Rule
from gateway.domain.runtime import ModelStatus, RuntimeStatus
from gateway.domain.still import Still


class Control(Protocol):
    """How the API steers and asks the pipeline."""

    def register(self, capability: Capability) -> None:
        """Take a runtime's declaration, its first or a heartbeat."""
        ...

    async def deregister(self, runtime_id: str) -> None:
        """Let go of a runtime, its frames on their way being answered first; `NotFoundError` if it isn't registered."""
        ...

    def drain_runtime(self, runtime_id: str) -> None:
        """Send a runtime no more frames until it is undrained; `NotFoundError` if it isn't registered."""
        ...

    def undrain_runtime(self, runtime_id: str) -> None:
        """Let a drained runtime have frames again; `NotFoundError` if it isn't registered."""
        ...

    def runtimes(self) -> Sequence[RuntimeStatus]:
        """Every registered runtime."""
        ...

    def models(self) -> Sequence[ModelStatus]:
        """Every model that a registered runtime has."""
        ...

    async def load_model(self, name: str) -> None:
        """Load a model on every runtime that has it; `NotFoundError`, `InferenceError`."""
        ...

    async def unload_model(self, name: str) -> None:
        """Unload a model everywhere; `NotFoundError`, `InferenceError`."""
        ...

    async def infer(self, model: str, frame: Frame) -> InferenceResult:
        """Have a model look at one picture, beside the cameras' frames; `NotFoundError`, `InferenceError`."""
        ...

    def check_camera(self, settings: CameraSettings) -> None:
        """Refuse settings that no source can be made of: `InvalidInputError`."""
        ...

    async def apply_camera(self, camera: Camera, rules: Sequence[Rule]) -> None:
        """Start a camera, or bring a running one in line with changed settings and rules."""
        ...

    async def remove_camera(self, camera_id: str) -> None:
        """Stop a camera and end its open episodes."""
        ...

    async def push(self, camera_id: str, still: Still) -> bool:
        """Hand a picture to a `push:` camera.

        Returns:
            Whether it is looked at; False where it comes too soon for the camera's rate.

        Raises:
            ConflictError: The camera isn't running, or takes its pictures from its URL.
            InvalidInputError: The picture can't be decoded.
            SourceUnavailableError: The camera is just being opened, stopped, or takes no picture in time.
        """
        ...

    def camera_status(self, camera_id: str) -> CameraStatus:
        """How a camera is doing; a camera that isn't running is `disabled`."""
        ...

    def fault(self) -> str:
        """Why the pipeline can't take frames (spool not durable, a stage crashed); empty while it can."""
        ...
