"""ONNX Runtime's TensorRT execution provider in Triton's configuration: nothing to build, and a slow first load."""

from converters.spec import INPUT_NAME, Accelerator, ModelSpec, Serving

ENGINE_CACHE = "/var/cache/ruth-ai/tensorrt"
"""In the server's container: mount a volume there, or each start builds again."""

_WORKSPACE_BYTES = 2**30
_BUILDER_LEVEL = 3
_PRECISION_MODE = {"fp16": "FP16", "int8": "INT8"}


def optimization(spec: ModelSpec, serving: Serving, prefix: str) -> dict[str, object]:
    """Return the field `optimization` of a model's configuration; empty without an accelerator.

    Args:
        spec: The model.
        serving: How it is served.
        prefix: Starts the names of cached engines; another one for every graph, since a cache is not checked.
    """
    if serving.accelerator is Accelerator.NONE:
        return {}
    chosen = {"name": "tensorrt", "parameters": _parameters(spec, serving, prefix)}
    return {"execution_accelerators": {"gpu_execution_accelerator": [chosen]}}


def _parameters(spec: ModelSpec, serving: Serving, prefix: str) -> dict[str, str]:
    """Keys are those of Triton's onnxruntime backend; it refuses any other."""
    shapes = {
        kind: f"{INPUT_NAME}:{'x'.join(map(str, (batch, *spec.frame_shape)))}"
        for kind, batch in (("min", 1), ("opt", serving.max_batch_size), ("max", serving.max_batch_size))
    }
    return {
        "precision_mode": _PRECISION_MODE.get(spec.precision.value, "FP32"),
        "max_workspace_size_bytes": str(_WORKSPACE_BYTES),
        "trt_builder_optimization_level": str(_BUILDER_LEVEL),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": ENGINE_CACHE,
        "trt_engine_cache_prefix": prefix,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": ENGINE_CACHE,
        **{f"trt_profile_{kind}_shapes": shape for kind, shape in shapes.items()},
    }
