"""How several plans and a CPU share one model folder."""

import json

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from converters import plan_layout, triton_config
from converters.errors import ModelError
from converters.plan_layout import PlanRecord, plan_file, plans_of, variants, with_plan
from converters.spec import Letterbox, ModelSpec, Serving, Target, Task

SPEC = ModelSpec(
    task=Task.DETECT,
    height=416,
    width=416,
    letterbox=Letterbox.TOP_LEFT,
    pad_luma=114,
    labels=("person",),
    score_threshold=0.3,
    nms_iou=0.45,
)
IDENTITY = triton_config.Identity(name="people", version=3, source_sha256="a" * 64, model_sha256="b" * 64)
CONFIG = triton_config.parse(triton_config.render(SPEC, Serving(target=Target.CPU, instances=2, threads=1), IDENTITY))


def plan(capability, *, portable=False, largest=8):
    return PlanRecord(
        file=plan_file(capability, hardware_compatible=portable),
        sha256="c" * 64,
        onnx_sha256="b" * 64,
        tensorrt="10.5.0.18",
        cuda="12.6",
        driver="560.35",
        gpu="NVIDIA L4",
        compute_capability=capability,
        image="nvcr.io/nvidia/tritonserver:24.10-py3",
        image_probed=True,
        profile={"min": 1, "opt": 4, "max": largest},
        options={"version_compatible": False},
        timing_cache_sha256="",
        built_at="2026-01-02T03:04:05+00:00",
    )


def parsed(plans):
    return {name: text_format.Parse(text, pb.ModelConfig()) for name, text in variants(CONFIG, plans).items()}


@pytest.mark.parametrize(
    ("capability", "portable", "name"),
    [
        ("8.9", False, "model_sm89.plan"),
        ("12.1", False, "model_sm121.plan"),
        ("8.6", True, "model_sm80_and_later.plan"),
    ],
)
def test_a_plan_is_named_by_compute_capability(capability, portable, name):
    assert plan_file(capability, hardware_compatible=portable) == name


@pytest.mark.parametrize(("capability", "portable"), [("", False), ("../8.9", False), ("[N/A]", False), ("7.5", True)])
def test_a_capability_that_no_plan_can_have_is_refused(capability, portable):
    with pytest.raises(ModelError, match="compute capability"):
        plan_file(capability, hardware_compatible=portable)


def test_each_gpu_finds_its_plan_and_others_the_oldest():
    config = parsed([plan("9.0"), plan("8.9")])["cuda.pbtxt"]
    assert (config.platform, config.backend) == ("tensorrt_plan", "")
    assert dict(config.cc_model_filenames) == {"8.9": "model_sm89.plan", "9.0": "model_sm90.plan"}
    assert config.default_model_filename == "model_sm89.plan"
    (group,) = config.instance_group
    assert (pb.ModelInstanceGroup.Kind.Name(group.kind), group.count) == ("KIND_GPU", 1)
    assert list(config.version_policy.specific.versions) == [3]


def test_a_hardware_compatible_plan_is_the_default_and_bound_to_no_capability():
    config = parsed([plan("7.5"), plan("8.9", portable=True)])["cuda.pbtxt"]
    assert config.default_model_filename == "model_sm80_and_later.plan"
    assert dict(config.cc_model_filenames) == {"7.5": "model_sm75.plan"}


def test_no_batch_goes_to_triton_that_a_plan_does_not_take():
    assert parsed([plan("8.9"), plan("9.0", largest=4)])["cuda.pbtxt"].max_batch_size == 4
    assert parsed([plan("8.9", largest=64)])["cuda.pbtxt"].max_batch_size == 8


def test_both_variants_keep_inputs_outputs_queue_and_contract():
    for config in parsed([plan("8.9")]).values():
        fields = triton_config.parse(text_format.MessageToString(config))
        assert triton_config.spec_of(fields) == SPEC
        assert fields["input"] == CONFIG["input"]
        assert config.dynamic_batching.default_queue_policy.timeout_action == pb.ModelQueuePolicy.REJECT


def test_the_cpu_variant_is_the_published_configuration():
    config = parsed([plan("8.9")])["cpu.pbtxt"]
    assert triton_config.parse(text_format.MessageToString(config)) == CONFIG
    on_gpu = {**CONFIG, "instance_group": [{"kind": "KIND_GPU", "count": 2}], "optimization": {"priority": "x"}}
    assert plan_layout.cpu_config(on_gpu) == CONFIG


def test_onnx_runtimes_threads_are_none_of_tensorrts_business():
    assert not {"intra_op_thread_count", "inter_op_thread_count"} & set(parsed([plan("8.9")])["cuda.pbtxt"].parameters)


def test_without_plans_there_are_no_variants_but_a_cpus_of_a_model_for_gpus():
    assert variants(CONFIG, []) == {}
    on_gpu = {**CONFIG, "instance_group": [{"kind": "KIND_GPU", "count": 1}]}
    assert list(variants(on_gpu, [])) == ["cpu.pbtxt"]


def test_the_manifest_gains_plans_without_losing_anything():
    manifest = with_plan(with_plan({"name": "people", "model_sha256": "b"}, plan("9.0")), plan("8.9"))
    manifest = json.loads(json.dumps(manifest))
    assert manifest["files"] == {"model_sm89.plan": "c" * 64, "model_sm90.plan": "c" * 64}
    assert [found.compute_capability for found in plans_of(manifest)] == ["8.9", "9.0"]
    assert (manifest["name"], manifest["model_sha256"]) == ("people", "b")
    again = with_plan(manifest, plan("8.9", largest=2))
    assert [found.profile["max"] for found in plans_of(again)] == [2, 8]


@pytest.mark.parametrize("plans", [{"x": {}}, {"x": 1}, [], {"x": {"file": "x", "unknown": 1}}])
def test_a_record_of_plans_of_another_hand_is_refused_or_empty(plans):
    if not plans:
        assert plans_of({"plans": plans}) == []
        return
    with pytest.raises(ModelError, match="record of plans"):
        plans_of({"plans": plans})
