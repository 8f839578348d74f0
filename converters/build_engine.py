"""ONNX graph → TensorRT plan on this machine's GPU, through Polygraphy. TensorRT is imported when a plan is built."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from converters.engine_options import EngineOptions, checked_major, network_flags
from converters.errors import MissingError, ModelError
from converters.spec import INPUT_NAME


@dataclass(frozen=True, slots=True)
class Builder:
    """TensorRT and Polygraphy of this environment.

    Attributes:
        trt: The module `tensorrt`.
        backend: The module `polygraphy.backend.trt`.
    """

    trt: Any
    backend: Any

    @property
    def version(self) -> str:
        """Version of TensorRT."""
        return str(self.trt.__version__)

    def build(self, model: bytes, frame_shape: tuple[int, int], options: EngineOptions, timing_cache: Path) -> bytes:
        """Build a plan for the GPU of this machine.

        Args:
            model: The ONNX graph; its input `frames` is UINT8 `[batch, *frame_shape]`.
            frame_shape: Of one NV12 frame.
            options: How to build.
            timing_cache: Measurements of earlier builds, read where there are any; new ones are added.

        Raises:
            ModelError: TensorRT can't parse or build the graph, or is too old.
        """
        checked_major(self.version)
        exceptions, log = import_module("polygraphy.exception"), import_module("polygraphy.logger").G_LOGGER
        try:
            timing_cache.parent.mkdir(parents=True, exist_ok=True)
            with log.verbosity(log.ERROR), redirect_stdout(sys.stderr):
                network = self.backend.NetworkFromOnnxBytes(model, **network_arguments(self.version))
                config = self.backend.CreateConfig(**self.config_arguments(frame_shape, options, timing_cache))
                return bytes(
                    self.backend.engine_bytes_from_network(network, config, save_timing_cache=str(timing_cache))
                )
        except exceptions.PolygraphyException as error:
            raise ModelError(f"TensorRT {self.version} can't build it: {_last_line(error)}") from error
        except OSError as error:
            raise ModelError(f"timing cache {timing_cache} can't be used ({error.strerror}); name another") from error

    def config_arguments(
        self, frame_shape: tuple[int, int], options: EngineOptions, timing_cache: Path
    ) -> Mapping[str, Any]:
        """Return what Polygraphy's `CreateConfig` is given; no precision flag, which TensorRT 11 has none of."""
        least, best, largest = options.profile.shapes(frame_shape)
        profile = self.backend.Profile().add(INPUT_NAME, min=least, opt=best, max=largest)
        given: dict[str, Any] = {"profiles": [profile], "version_compatible": options.version_compatible}
        if timing_cache.is_file():
            given["load_timing_cache"] = str(timing_cache)
        if options.workspace_bytes is not None:
            given["memory_pool_limits"] = {self.trt.MemoryPoolType.WORKSPACE: options.workspace_bytes}
        if options.builder_level is not None:
            given["builder_optimization_level"] = options.builder_level
        if options.hardware_compatible:
            given["hardware_compatibility_level"] = self.trt.HardwareCompatibilityLevel.AMPERE_PLUS
        return given


def network_arguments(tensorrt: str) -> Mapping[str, bool]:
    """Return what Polygraphy's network loaders are given: strongly typed is a flag in 10 and the only way in 11."""
    return {"strongly_typed": True} if "STRONGLY_TYPED" in network_flags(tensorrt) else {}


def local_builder() -> Builder:
    """Return this environment's TensorRT.

    Raises:
        MissingError: TensorRT or Polygraphy is not installed.
    """
    for name in ("tensorrt", "polygraphy"):
        if find_spec(name) is None:
            raise MissingError(f"this environment has no {name}")
    return Builder(import_module("tensorrt"), import_module("polygraphy.backend.trt"))


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
