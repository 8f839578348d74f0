"""ModelSpec → Triton's ModelConfig → the text of config.pbtxt. Pure: no file, no clock, no machine."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from google.protobuf import json_format, text_format
from google.protobuf.message import Message
from tritonclient.grpc import model_config_pb2

from converters.accelerator import optimization
from converters.errors import ModelError
from converters.spec import (
    CONTRACT,
    COUNT_NAME,
    DEFAULT_MAX_DETECTIONS,
    DETECTIONS_NAME,
    INPUT_NAME,
    SCORES_NAME,
    Letterbox,
    ModelSpec,
    Precision,
    Serving,
    Target,
    Task,
)

BACKEND = "onnxruntime"
MODEL_FILE = "model.onnx"

INSTANCE_KIND = {Target.CPU: "KIND_CPU", Target.CUDA: "KIND_GPU", Target.L4T: "KIND_GPU"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells one publication from another.

    Attributes:
        name: Model name in the repository.
        version: The version to serve. Naming it makes the rename of config.pbtxt the one instant at which a new
            version takes over, and a rollback the same step backwards.
        source_sha256: Hex digest of the file it was made from.
        model_sha256: Hex digest of the published `model.onnx`.
    """

    name: str
    version: int
    source_sha256: str
    model_sha256: str


def converter_version() -> str:
    """Return this program and its version, such as `ruth-convert 0.1.0`."""
    return f"ruth-convert {version('ruth-ai')}"


def render(spec: ModelSpec, serving: Serving, identity: Identity) -> str:
    """Return the text of config.pbtxt; a field that Triton doesn't know is an error here, not there."""
    return text_of(model_config(spec, serving, identity))


def text_of(config: dict[str, Any]) -> str:
    """Return a ModelConfig's fields as the text of config.pbtxt, a `max_batch_size` of 0 included."""
    text: str = text_format.MessageToString(json_format.ParseDict(config, _empty_config()))
    return text if config.get("max_batch_size") else f"{text}max_batch_size: 0\n"


def parse(text: str) -> dict[str, Any]:
    """Return the fields of a config.pbtxt under their own names; 64-bit integers come as strings.

    Raises:
        ModelError: It is no ModelConfig.
    """
    try:
        config = text_format.Parse(text, _empty_config())
    except text_format.ParseError as error:
        raise ModelError(f"config.pbtxt can't be parsed: {error}") from error
    return json_format.MessageToDict(config, preserving_proto_field_name=True)


def renamed(config: dict[str, Any], name: str) -> str:
    """Return the text of a parsed config.pbtxt under another name, with one instance and no warm-up."""
    groups = [{**group, "count": 1} for group in config["instance_group"]]
    changed = {**config, "name": name, "instance_group": groups, "model_warmup": []}
    return text_format.MessageToString(json_format.ParseDict(changed, _empty_config()))


def parameters_of(config: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of a parsed config.pbtxt."""
    return {key: str(value.get("string_value", "")) for key, value in config.get("parameters", {}).items()}


def served_versions(config: dict[str, Any]) -> list[int]:
    """Return the versions that a parsed config.pbtxt names, ascending; none where it asks for the latest."""
    policy = config.get("version_policy", {})
    return sorted(int(version) for version in policy.get("specific", {}).get("versions", []))


def spec_of(config: dict[str, Any]) -> ModelSpec:
    """Return the ModelSpec that a parsed config.pbtxt was rendered from.

    Raises:
        ModelError: It does not hold what the contract asks for.
    """
    values = parameters_of(config)
    try:
        task = Task(values["ruth.task"])
        rows, width = (int(size) for size in config["input"][0]["dims"])
        return ModelSpec(
            task=task,
            height=rows * 2 // 3,
            width=width,
            letterbox=Letterbox(values["ruth.letterbox"]),
            pad_luma=int(values["ruth.pad"]),
            labels=tuple(json.loads(values["ruth.labels"])),
            keypoints=tuple(json.loads(values["ruth.keypoints"])),
            score_threshold=float(values["ruth.score_threshold"]),
            nms_iou=float(values["ruth.nms_iou"]),
            max_detections=DEFAULT_MAX_DETECTIONS if task is Task.CLASSIFY else int(config["output"][0]["dims"][0]),
            precision=Precision(values["ruth.precision"]),
        )
    except (KeyError, ValueError, IndexError, RecursionError) as error:
        raise ModelError(
            f"config.pbtxt does not meet contract {CONTRACT} ({error!r}); publish the model again"
        ) from error


def model_config(spec: ModelSpec, serving: Serving, identity: Identity) -> dict[str, Any]:
    """Return what Triton is to know of a published model; `dims` leave the batch axis out."""
    values = {**runtime_parameters(serving), **contract_parameters(spec, identity)}
    prefix = f"{identity.name}_{identity.model_sha256[:12]}"
    return {
        "name": identity.name,
        "backend": BACKEND,
        "default_model_filename": MODEL_FILE,
        "max_batch_size": serving.max_batch_size,
        "input": [{"name": INPUT_NAME, "data_type": "TYPE_UINT8", "dims": list(spec.frame_shape)}],
        "output": _outputs(spec),
        "instance_group": [{"kind": INSTANCE_KIND[serving.target], "count": serving.instances}],
        "version_policy": {"specific": {"versions": [identity.version]}},
        "dynamic_batching": batching(serving),
        "parameters": {key: {"string_value": value} for key, value in values.items()},
        "model_warmup": _warmup(spec, serving),
        "optimization": optimization(spec, serving, prefix) or None,
    }


def _warmup(spec: ModelSpec, serving: Serving) -> list[dict[str, Any]]:
    """Every batch size once: ONNX Runtime plans memory and convolutions anew for a size that it hasn't seen."""
    frame = {"data_type": "TYPE_UINT8", "dims": list(spec.frame_shape), "input_data_file": serving.warmup_file}
    sizes = range(1, serving.max_batch_size + 1) if serving.warmup_file else ()
    return [{"name": f"batch_of_{size}", "batch_size": size, "inputs": {INPUT_NAME: frame}} for size in sizes]


def _outputs(spec: ModelSpec) -> list[dict[str, Any]]:
    if spec.task is Task.CLASSIFY:
        return [{"name": SCORES_NAME, "data_type": "TYPE_FP32", "dims": [len(spec.labels)]}]
    rows = [spec.max_detections, spec.row_width]
    return [
        {"name": DETECTIONS_NAME, "data_type": "TYPE_FP32", "dims": rows},
        {"name": COUNT_NAME, "data_type": "TYPE_INT32", "dims": [1]},
    ]


def contract_parameters(spec: ModelSpec, identity: Identity) -> dict[str, str]:
    """Return the `ruth.*` parameters, by which the gateway knows the model."""
    return {
        "ruth.contract": CONTRACT,
        "ruth.task": spec.task.value,
        "ruth.letterbox": spec.letterbox.value,
        "ruth.pad": str(spec.pad_luma),
        "ruth.labels": json.dumps(spec.labels, ensure_ascii=False),
        "ruth.keypoints": json.dumps(spec.keypoints, ensure_ascii=False),
        "ruth.score_threshold": f"{spec.score_threshold:g}",
        "ruth.nms_iou": f"{spec.nms_iou:g}",
        "ruth.precision": spec.precision.value,
        **origin_parameters(identity),
    }


def origin_parameters(identity: Identity) -> dict[str, str]:
    """Return the `ruth.*` parameters that say who published a model, within the contract or outside, and from what."""
    return {
        "ruth.source_sha256": identity.source_sha256,
        "ruth.model_sha256": identity.model_sha256,
        "ruth.converter": converter_version(),
    }


def batching(serving: Serving) -> dict[str, Any]:
    """Bound the queue in length and in time: a request that waited too long is refused, not answered late."""
    return {
        "max_queue_delay_microseconds": serving.max_queue_delay_microseconds,
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": serving.queue_timeout_microseconds,
            "allow_timeout_override": True,
            "max_queue_size": serving.max_queue_size,
        },
    }


def runtime_parameters(serving: Serving) -> dict[str, str]:
    """ONNX Runtime's own threads; on a GPU they run the few operators left on the CPU."""
    return {"intra_op_thread_count": str(serving.threads), "inter_op_thread_count": "1"}


def _empty_config() -> Message:
    config: Message = model_config_pb2.ModelConfig()  # pyright: ignore[reportAttributeAccessIssue]  # made at import
    return config
