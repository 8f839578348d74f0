"""A pipeline without cameras or runtimes, for tests of what stands above it."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from gateway.domain.camera import Camera, CameraSettings, CameraState, CameraStatus
from gateway.domain.capability import DEFAULT_ADAPTATION, Capability, adapt
from gateway.domain.frame import Frame
from gateway.domain.inference import InferenceResult
from gateway.domain.model import ModelContract
from gateway.domain.rule import Rule
from gateway.domain.runtime import ModelStatus, RuntimeState, RuntimeStatus
from gateway.domain.still import Still
from gateway.errors import InvalidInputError, NotFoundError
from tests.support.pictures import people


class FakeControl:
    """Implements `gateway.domain.ports.Control`; remembers what it was told, and says what a test tells it to."""

    def __init__(self) -> None:
        self.registered: dict[str, RuntimeStatus] = {}
        self.applied: dict[str, tuple[Camera, tuple[Rule, ...]]] = {}
        self.statuses: dict[str, CameraStatus] = {}
        self.pushed: list[tuple[str, Still]] = []
        self.loaded: list[str] = []
        self.contracts: dict[str, ModelContract] = {}
        self.fault_text = ""
        self.error: Exception | None = None
        self.failing: dict[str, Exception] = {}

    def register(self, capability: Capability) -> None:
        self.registered[capability.runtime_id] = RuntimeStatus(
            capability=capability,
            limits=adapt(capability, DEFAULT_ADAPTATION),
            state=RuntimeState.READY,
            last_heartbeat_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        )

    async def deregister(self, runtime_id: str) -> None:
        if self.registered.pop(runtime_id, None) is None:
            raise NotFoundError(f"runtime {runtime_id} isn't registered")

    def drain_runtime(self, runtime_id: str) -> None:
        self._set_state(runtime_id, RuntimeState.DRAINING)

    def undrain_runtime(self, runtime_id: str) -> None:
        self._set_state(runtime_id, RuntimeState.READY)

    def _set_state(self, runtime_id: str, state: RuntimeState) -> None:
        if runtime_id not in self.registered:
            raise NotFoundError(f"runtime {runtime_id} isn't registered")
        self.registered[runtime_id] = msgspec.structs.replace(self.registered[runtime_id], state=state)

    def runtimes(self) -> Sequence[RuntimeStatus]:
        return list(self.registered.values())

    def models(self) -> Sequence[ModelStatus]:
        names = {*self.contracts} | {
            name for status in self.registered.values() for name in status.capability.loaded_models
        }
        return [
            ModelStatus(name=name, loaded_on=tuple(self.registered), contract=self.contracts.get(name))
            for name in sorted(names)
        ]

    async def load_model(self, name: str) -> None:
        if self.error:
            raise self.error
        self.loaded.append(name)

    async def unload_model(self, name: str) -> None:
        if name not in self.loaded:
            raise NotFoundError(f"no runtime has a model {name}")
        self.loaded.remove(name)

    async def infer(self, model: str, frame: Frame) -> InferenceResult:
        if error := self.failing.get(model, self.error):
            raise error
        if model not in self.contracts:
            raise NotFoundError(f"no runtime that is ready has a model {model}")
        return InferenceResult(people((1, 2, 3.456, 4)), self.contracts[model], "triton-1", 0.0125)

    def check_camera(self, settings: CameraSettings) -> None:
        if not settings.url.startswith(("rtsp://", "demo:", "http://")):
            raise InvalidInputError(
                f"no camera can be reached by {settings.url.split(':')[0]!r}; take rtsp, http, demo"
            )

    async def apply_camera(self, camera: Camera, rules: Sequence[Rule]) -> None:
        self.applied[camera.id] = (camera, tuple(rules))

    async def remove_camera(self, camera_id: str) -> None:
        self.applied.pop(camera_id, None)

    async def push(self, camera_id: str, still: Still) -> bool:
        if self.error:
            raise self.error
        self.pushed.append((camera_id, still))
        return len(self.pushed) == 1

    def camera_status(self, camera_id: str) -> CameraStatus:
        return self.statuses.get(camera_id, CameraStatus(state=CameraState.DISABLED))

    def fault(self) -> str:
        return self.fault_text
