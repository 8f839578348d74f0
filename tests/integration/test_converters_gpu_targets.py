"""Models for a GPU, converted where there is none."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from converters import cuda_device
from converters.cli import main
from converters.cpu_stand_in import servable_here
from converters.cuda_device import Gpu
from converters.errors import MissingError
from tests.support.tiny_yolox import saved, tiny_yolox
from tests.support.triton_server import running_triton

GPU = Gpu(name="NVIDIA L4", compute_capability="8.9", cuda="12.6", driver="560.35")


def no_gpu():
    raise MissingError("none")


def config(path):
    return text_format.Parse(path.read_text(), pb.ModelConfig())


@pytest.fixture
def repository(tmp_path):
    for name, kind in (("for_gpu", "KIND_GPU"), ("for_cpu", "KIND_CPU")):
        folder = tmp_path / "models" / name
        (folder / "1").mkdir(parents=True)
        (folder / "1/model.onnx").write_bytes(b"model")
        text = f'name: "{name}" backend: "onnxruntime" instance_group {{ kind: {kind} count: 2 }}'
        (folder / "config.pbtxt").write_text(text)
    return tmp_path / "models"


def test_where_there_is_a_gpu_or_no_need_of_one_models_are_served_as_they_are(repository):
    with servable_here(repository, ["for_gpu"], lambda: GPU) as served:
        assert served == repository
    with servable_here(repository, ["for_cpu"], no_gpu) as served:
        assert served == repository


def test_without_a_gpu_the_same_files_stand_beside_a_configuration_for_the_cpu(repository):
    with servable_here(repository, ["for_gpu", "for_cpu"], no_gpu) as served:
        groups = {name: config(served / name / "config.pbtxt").instance_group[0] for name in ("for_gpu", "for_cpu")}
        assert {name: (group.kind, group.count) for name, group in groups.items()} == {
            "for_gpu": (pb.ModelInstanceGroup.KIND_CPU, 2),
            "for_cpu": (pb.ModelInstanceGroup.KIND_CPU, 2),
        }
        assert (served / "for_gpu/1/model.onnx").read_bytes() == b"model"
    assert not served.exists()
    assert config(repository / "for_gpu/config.pbtxt").instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU


def test_what_is_no_configuration_of_ours_goes_to_triton_as_it_is(repository):
    (repository / "for_gpu/config.pbtxt").write_text("not a config {")
    with servable_here(repository, ["for_gpu", "missing"], no_gpu) as served:
        assert served == repository


def test_a_model_for_cuda_is_tried_and_published_without_a_gpu_and_serves_a_cpu_by_its_variant(
    tmp_path, monkeypatch, capsys
):
    """The real tritonserver reads `configs/cpu.pbtxt` where config.pbtxt asks for a GPU that it doesn't have."""
    monkeypatch.setattr(cuda_device, "DRIVER_LIBRARY", "libcuda-that-is-not-there.so.1")
    model, repository = saved(tiny_yolox(), tmp_path / "tiny.onnx"), tmp_path / "models"
    options = ("--target", "cuda", "--accelerator", "tensorrt", "--repository", str(repository))
    assert main(["onnx", str(model), "--name", "tiny", *options]) == 0
    published = config(repository / "tiny/config.pbtxt")
    assert published.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert published.optimization.execution_accelerators.gpu_execution_accelerator[0].name == "tensorrt"
    with running_triton(repository, load=["tiny"], model_config_name="cpu", no_auto_complete=True) as triton:
        assert triton.api.ready()
