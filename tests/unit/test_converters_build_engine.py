"""What TensorRT 10 and 11 are asked for, through the real Polygraphy; and the same in the words of trtexec."""

import importlib.util

import pytest

from converters.build_engine import Builder, local_builder, network_arguments
from converters.engine_options import (
    BatchProfile,
    EngineOptions,
    parse_batch,
    timing_cache_name,
    trtexec_arguments,
)
from converters.errors import MissingError, ModelError, UsageError
from tests.support import fake_tensorrt
from tests.support.tiny_yolox import tiny_yolox

FRAME = (96, 96)
OPTIONS = EngineOptions(profile=BatchProfile(min=1, opt=4, max=8))
EVERY_OPTION = EngineOptions(
    profile=BatchProfile(min=1, opt=4, max=8),
    workspace_mib=512,
    builder_level=5,
    hardware_compatible=True,
    version_compatible=True,
)


@pytest.fixture
def model():
    graph = tiny_yolox(batch="batch")
    graph.graph.input[0].name = "frames"
    return graph.SerializeToString()


@pytest.mark.parametrize(("version", "flags"), [("10.13.3.9", ("STRONGLY_TYPED",)), ("11.2.1.2", ())])
def test_networks_are_strongly_typed_by_flag_in_10_and_by_nature_in_11(monkeypatch, model, tmp_path, version, flags):
    log = fake_tensorrt.install(monkeypatch, version)
    plan = local_builder().build(model, FRAME, OPTIONS, tmp_path / "trt.timing")
    assert plan == b"plan of TensorRT " + version.encode()
    assert log.network_flags == flags
    assert log.flags == set()
    assert log.profiles == [("frames", (1, 96, 96), (4, 96, 96), (8, 96, 96))]
    assert log.pools == {}
    assert "builder_optimization_level" not in log.settings


@pytest.mark.parametrize("version", ["10.13.3.9", "11.2.1.2"])
def test_every_option_reaches_tensorrt_by_name(monkeypatch, model, tmp_path, version):
    log = fake_tensorrt.install(monkeypatch, version)
    local_builder().build(model, FRAME, EVERY_OPTION, tmp_path / "trt.timing")
    assert log.flags == {"VERSION_COMPATIBLE"}
    assert log.pools == {"WORKSPACE": 512 * 2**20}
    assert log.settings["builder_optimization_level"] == 5
    assert log.settings["hardware_compatibility_level"].name == "AMPERE_PLUS"


def test_a_timing_cache_is_read_if_it_is_there_and_kept(monkeypatch, model, tmp_path):
    log = fake_tensorrt.install(monkeypatch, "10.13.3.9")
    cache = tmp_path / "folder" / "trt.timing"
    local_builder().build(model, FRAME, OPTIONS, cache)
    assert (log.cache_in, cache.read_bytes()) == (b"", b"+measured")
    local_builder().build(model, FRAME, OPTIONS, cache)
    assert log.cache_in == b"+measured"


def test_nothing_of_a_build_goes_to_stdout(monkeypatch, model, tmp_path, capsys):
    fake_tensorrt.install(monkeypatch, "11.2.1.2")
    local_builder().build(model, FRAME, OPTIONS, tmp_path / "trt.timing")
    assert capsys.readouterr().out == ""


def test_a_build_that_fails_is_a_message_with_the_version(monkeypatch, model, tmp_path):
    fake_tensorrt.install(monkeypatch, "10.13.3.9", fails=True)
    with pytest.raises(ModelError, match=r"TensorRT 10\.13\.3\.9 can't build it: .*Invalid Engine"):
        local_builder().build(model, FRAME, OPTIONS, tmp_path / "trt.timing")


@pytest.mark.parametrize("version", ["8.6.1.6", "9.3", "", "unknown"])
def test_a_tensorrt_that_has_no_strongly_typed_networks_is_refused(version):
    with pytest.raises(ModelError, match="10 or newer"):
        network_arguments(version)
    with pytest.raises(ModelError, match="10 or newer"):
        trtexec_arguments(version, OPTIONS, "frames", FRAME)


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_without_tensorrt_there_is_no_builder():
    with pytest.raises(MissingError, match="no tensorrt"):
        local_builder()


def test_trtexec_is_asked_for_the_same():
    shapes = ["--minShapes=frames:1x96x96", "--optShapes=frames:4x96x96", "--maxShapes=frames:8x96x96"]
    last = ["--noTF32", "--skipInference"]
    assert trtexec_arguments("10.5.0", OPTIONS, "frames", FRAME) == [*shapes, "--stronglyTyped", *last]
    assert trtexec_arguments("11.2.1.2", EVERY_OPTION, "frames", FRAME) == [
        *shapes,
        "--memPoolSize=workspace:512",
        "--builderOptimizationLevel=5",
        "--hardwareCompatibilityLevel=ampere+",
        "--versionCompatible",
        *last,
    ]


@pytest.mark.parametrize("text", ["", "8", "1,8", "0,1,2", "4,2,8", "1,2,3,4", "a,b,c", "-1,2,3", "1,8,4", "4,4,8"])
def test_batch_sizes_that_do_not_ascend_from_one_are_wrong_usage(text):
    with pytest.raises(UsageError, match="1,4,8"):
        parse_batch(text)


@pytest.mark.parametrize("change", [{"workspace_mib": 0}, {"builder_level": 6}, {"builder_level": -1}])
def test_options_out_of_range_are_wrong_usage(change):
    with pytest.raises(UsageError):
        EngineOptions(profile=BatchProfile(opt=1, max=1), **change)


def test_timing_caches_of_different_gpus_or_versions_never_share_a_file():
    names = {
        timing_cache_name(version, gpu) for version in ("10.5.0", "11.2.1.2") for gpu in ("NVIDIA L4", "NVIDIA-L4")
    }
    assert len(names) == 4
    assert timing_cache_name("10.5.0", "../../etc/passwd").startswith("trt10.5.0-______etc_passwd-")


@pytest.mark.gpu
def test_a_real_tensorrt_builds_a_plan_that_it_loads_again(data_dir, tmp_path):
    trt = pytest.importorskip("tensorrt")
    from converters.cli import main
    from converters.cuda_device import local_gpu

    try:
        local_gpu()
    except MissingError as reason:
        pytest.skip(str(reason))
    assert (
        main(["onnx", str(data_dir / "models/yolox_nano_416.onnx"), "--name", "x", "--repository", str(tmp_path)]) == 0
    )
    builder: Builder = local_builder()
    options = EngineOptions(profile=BatchProfile(opt=1, max=2), builder_level=0)
    plan = builder.build((tmp_path / "x/1/model.onnx").read_bytes(), (624, 416), options, tmp_path / "t.timing")
    assert trt.Runtime(trt.Logger()).deserialize_cuda_engine(plan) is not None
