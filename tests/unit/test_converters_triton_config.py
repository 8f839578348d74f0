"""ModelSpec to config.pbtxt and back."""

import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from converters import triton_config
from converters.errors import ModelError, UsageError
from converters.lint import _is_list_of_names
from converters.spec import Accelerator, Letterbox, ModelSpec, Serving, Target, Task, checked_name
from converters.triton_config import Identity

SPEC = ModelSpec(
    task=Task.DETECT,
    height=416,
    width=640,
    letterbox=Letterbox.TOP_LEFT,
    pad_luma=114,
    labels=("person", 'a "quoted" label', "Fußgänger"),
    score_threshold=0.3,
    nms_iou=0.45,
)
IDENTITY = Identity(name="people", version=3, source_sha256="a" * 64, model_sha256="b" * 64)


def parsed(spec=SPEC, **serving):
    text = triton_config.render(
        spec, Serving(**{"target": Target.CPU, "instances": 2, "threads": 1, **serving}), IDENTITY
    )
    return text_format.Parse(text, pb.ModelConfig())


def test_triton_reads_back_the_contract_of_inputs_and_outputs():
    config = parsed()
    assert (config.name, config.backend, config.platform, config.max_batch_size) == ("people", "onnxruntime", "", 8)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("frames", pb.TYPE_UINT8, [624, 640])]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [
        ("detections", pb.TYPE_FP32, [100, 6]),
        ("num_detections", pb.TYPE_INT32, [1]),
    ]


def test_the_parameters_of_the_contract_are_all_there_as_strings():
    values = {key: value.string_value for key, value in parsed().parameters.items()}
    assert json.loads(values["ruth.labels"]) == list(SPEC.labels)
    assert values | {"ruth.labels": ""} == {
        "ruth.contract": "1",
        "ruth.task": "detect",
        "ruth.letterbox": "top_left",
        "ruth.pad": "114",
        "ruth.labels": "",
        "ruth.keypoints": "[]",
        "ruth.score_threshold": "0.3",
        "ruth.nms_iou": "0.45",
        "ruth.precision": "fp32",
        "ruth.source_sha256": "a" * 64,
        "ruth.model_sha256": "b" * 64,
        "ruth.converter": triton_config.converter_version(),
        "intra_op_thread_count": "1",
        "inter_op_thread_count": "1",
    }


def test_exactly_the_published_version_is_served():
    config = parsed()
    assert list(config.version_policy.specific.versions) == [3]
    assert triton_config.served_versions(triton_config.parse(text_format.MessageToString(config))) == [3]


def test_a_full_queue_and_a_late_request_are_refused():
    policy = parsed().dynamic_batching.default_queue_policy
    assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
    assert policy.allow_timeout_override
    assert policy.max_queue_size == 64
    assert policy.default_timeout_microseconds == 2_000_000


@pytest.mark.parametrize(
    ("target", "kind"), [(Target.CPU, "KIND_CPU"), (Target.CUDA, "KIND_GPU"), (Target.L4T, "KIND_GPU")]
)
def test_instances_run_where_the_target_says(target, kind):
    (group,) = parsed(target=target, instances=3).instance_group
    assert (pb.ModelInstanceGroup.Kind.Name(group.kind), group.count) == (kind, 3)


def test_the_spec_comes_back_from_the_text():
    pose = ModelSpec(
        task=Task.POSE,
        height=256,
        width=192,
        letterbox=Letterbox.CENTER,
        pad_luma=16,
        labels=("person",),
        keypoints=("nose", "left_eye"),
        score_threshold=0.123456,
        nms_iou=0.5,
        max_detections=7,
    )
    for spec in (SPEC, pose):
        text = triton_config.render(spec, Serving(target=Target.CPU, instances=1, threads=1), IDENTITY)
        assert triton_config.spec_of(triton_config.parse(text)) == spec


def test_a_renamed_configuration_keeps_everything_else():
    config = triton_config.parse(text_format.MessageToString(parsed()))
    other = triton_config.parse(triton_config.renamed(config, "other"))
    assert other["name"] == "other"
    assert {**other, "name": "people", "instance_group": config["instance_group"]} == config


def test_labels_nested_too_deep_to_be_read_are_refused_and_found_by_lint():
    config = triton_config.parse(text_format.MessageToString(parsed()))
    config["parameters"]["ruth.labels"]["string_value"] = "[" * 100_000
    with pytest.raises(ModelError, match=r"does not meet contract 1 \(RecursionError"):
        triton_config.spec_of(config)
    assert not _is_list_of_names("[" * 100_000)


@pytest.mark.parametrize("text", ["", "not a config {", 'name: "x"', "\x00"])
def test_a_configuration_outside_the_contract_is_refused_by_name_of_the_contract(text):
    with pytest.raises(ModelError, match=r"config\.pbtxt"):
        triton_config.spec_of(triton_config.parse(text))


@pytest.mark.parametrize(
    "change", [{"height": 415}, {"width": 0}, {"pad_luma": 256}, {"nms_iou": 1.01}, {"max_detections": 0}]
)
def test_a_spec_that_contradicts_itself_can_not_be_made(change):
    fields = {name: getattr(SPEC, name) for name in SPEC.__slots__}
    with pytest.raises(UsageError):
        ModelSpec(**(fields | change))


@pytest.mark.parametrize("name", ["", "People", "a/b", "../x", "a" * 65, "a b", "ä", "x\n"])
def test_an_unsafe_name_is_refused(name):
    with pytest.raises(UsageError, match="model name"):
        checked_name(name)


def test_the_tensorrt_accelerator_caches_engines_and_knows_its_shapes():
    optimization = parsed(target=Target.CUDA, accelerator=Accelerator.TENSORRT, max_batch_size=4).optimization
    (accelerator,) = optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP32",
        "max_workspace_size_bytes": "1073741824",
        "trt_builder_optimization_level": "3",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/var/cache/ruth-ai/tensorrt",
        "trt_engine_cache_prefix": "people_bbbbbbbbbbbb",
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": "/var/cache/ruth-ai/tensorrt",
        "trt_profile_min_shapes": "frames:1x624x640",
        "trt_profile_opt_shapes": "frames:4x624x640",
        "trt_profile_max_shapes": "frames:4x624x640",
    }


def test_without_an_accelerator_nothing_is_said_of_optimization_and_on_a_cpu_none_is_accepted():
    assert not parsed(target=Target.CUDA).HasField("optimization")
    with pytest.raises(UsageError, match="--target cuda"):
        parsed(accelerator=Accelerator.TENSORRT)
