"""Where plans lie in a model's folder and how Triton is told of them. Pure: no file, no clock, no machine.

people/config.pbtxt            as published: ONNX Runtime
people/configs/cpu.pbtxt       `--model-config-name=cpu`: ONNX Runtime on the CPU; for a model for GPUs or with plans
people/configs/cuda.pbtxt      `--model-config-name=cuda`: the plans, by compute capability; for a version with plans
people/3/model.onnx
people/3/model_sm89.plan       and as many others as there are GPUs
people/3/manifest.json         knows each plan by hash, TensorRT, driver and GPU
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from converters import triton_config
from converters.errors import ModelError

CONFIGS_FOLDER = "configs"
CPU_CONFIG = "cpu.pbtxt"
CUDA_CONFIG = "cuda.pbtxt"
_PORTABLE_PLAN = "model_sm80_and_later.plan"
_CAPABILITY = re.compile(r"\d{1,2}\.\d")
_ONNX_RUNTIME_ONLY = ("intra_op_thread_count", "inter_op_thread_count", "execution_mode")
_CUDA_QUEUE_DELAY_MICROSECONDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """What the manifest says of one plan.

    Attributes:
        file: Name beside `model.onnx`.
        sha256: Hex digest of the plan.
        onnx_sha256: Hex digest of the `model.onnx` it was built from.
        tensorrt: Version that built it, and the only one that loads it unless it is version-compatible.
        cuda: Version of the CUDA runtime in the image that loads it; empty where that isn't known.
        driver: Version of the driver; empty where there is none to ask (Jetson).
        gpu: Name of the GPU it was built on.
        compute_capability: Of that GPU, such as `8.9`.
        image: Image it was built in or for.
        image_probed: Whether the image's TensorRT was read from the image and not from the table.
        profile: Batch sizes `min`, `opt`, `max`.
        options: Further options of the build.
        timing_cache_sha256: Hex digest of the timing cache after the build; empty where there is none.
        built_at: RFC 3339.
    """

    file: str
    sha256: str
    onnx_sha256: str
    tensorrt: str
    cuda: str
    driver: str
    gpu: str
    compute_capability: str
    image: str
    image_probed: bool
    profile: Mapping[str, int]
    options: Mapping[str, Any]
    timing_cache_sha256: str
    built_at: str


def plan_file(compute_capability: str, *, hardware_compatible: bool) -> str:
    """Return the file name of a plan: `model_sm89.plan` for 8.9.

    Raises:
        ModelError: It is no compute capability, or older than what a hardware-compatible plan runs on.
    """
    if not _CAPABILITY.fullmatch(compute_capability):
        raise ModelError(f"{compute_capability!r} is no compute capability such as 8.9; update the driver")
    if not hardware_compatible:
        return f"model_sm{compute_capability.replace('.', '')}.plan"
    if float(compute_capability) < 8:
        raise ModelError(
            f"hardware-compatible plans start at compute capability 8.0; this GPU has {compute_capability}"
        )
    return _PORTABLE_PLAN


def with_plan(manifest: Mapping[str, Any], record: PlanRecord) -> dict[str, Any]:
    """Return a manifest that knows one more plan, or another one under the same file name."""
    return {
        **manifest,
        "files": {**manifest.get("files", {}), record.file: record.sha256},
        "plans": {**manifest.get("plans", {}), record.file: asdict(record)},
    }


def plans_of(manifest: Mapping[str, Any]) -> list[PlanRecord]:
    """Return the plans that a manifest knows, by file name.

    Raises:
        ModelError: Its record of them isn't ours.
    """
    plans = manifest.get("plans", {})
    try:
        return [PlanRecord(**plans[name]) for name in sorted(plans)]
    except (TypeError, AttributeError) as error:
        raise ModelError(f"the manifest's record of plans can't be read ({error}); build them again") from error


def variants(config: Mapping[str, Any], plans: Sequence[PlanRecord]) -> dict[str, str]:
    """Return the files of `configs/` for a parsed config.pbtxt: for a CPU where that isn't for one, for plans if any.

    Args:
        config: Of the published model, as `triton_config.parse` gives it.
        plans: Of the version that it serves.
    """
    on_gpu = any(group.get("kind") == "KIND_GPU" for group in config.get("instance_group", []))
    texts: dict[str, str] = {}
    if plans or on_gpu:
        texts[CPU_CONFIG] = triton_config.text_of(cpu_config(config))
    if plans:
        texts[CUDA_CONFIG] = triton_config.text_of(cuda_config(config, plans))
    return texts


def cpu_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration for ONNX Runtime on a CPU."""
    groups = [{"kind": "KIND_CPU", "count": group.get("count", 1)} for group in config["instance_group"]]
    kept = {key: value for key, value in config.items() if key != "optimization"}
    return {**kept, "instance_group": groups}


def cuda_config(config: Mapping[str, Any], plans: Sequence[PlanRecord]) -> dict[str, Any]:
    """Return the configuration for TensorRT: one instance on each GPU, which picks its plan by compute capability.

    A GPU that no plan was built for takes the default: the hardware-compatible one if there is one, else that of the
    lowest compute capability.
    """
    by_age = sorted(plans, key=lambda plan: (plan.file != _PORTABLE_PLAN, float(plan.compute_capability)))
    largest = min(int(config["max_batch_size"]), *(plan.profile["max"] for plan in plans))
    kept = {key: value for key, value in config.items() if key not in ("backend", "optimization")}
    values = {key: value for key, value in config["parameters"].items() if key not in _ONNX_RUNTIME_ONLY}
    batching = {**config.get("dynamic_batching", {})}
    batching["max_queue_delay_microseconds"] = _CUDA_QUEUE_DELAY_MICROSECONDS
    return {
        **kept,
        "platform": "tensorrt_plan",
        "default_model_filename": by_age[0].file,
        "cc_model_filenames": {plan.compute_capability: plan.file for plan in plans if plan.file != _PORTABLE_PLAN},
        "max_batch_size": largest,
        "model_warmup": [warm for warm in config.get("model_warmup", []) if int(warm.get("batch_size", 1)) <= largest],
        "instance_group": [{"kind": "KIND_GPU", "count": 1}],
        "dynamic_batching": batching,
        "parameters": values,
    }
