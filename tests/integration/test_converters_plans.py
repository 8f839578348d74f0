"""From a published model to plans beside it, in a real repository; TensorRT and Docker are stood in for."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from triton_agent.capabilities import LIMITS
from triton_agent.settings import HardwareMode

from converters import integrity, manifest, plan_store, triton_config
from converters.build_engine import Builder, local_builder
from converters.cli import main
from converters.cuda_device import Gpu
from converters.engine_options import BatchProfile
from converters.errors import MissingError, ModelError
from converters.image_probe import Finished
from converters.lint import Severity, static_findings
from converters.live_server import LiveServer
from converters.plans import DECLARED_BATCH, PlanRequest, check_versions, make_plan
from converters.repository import Repository
from converters.spec import Target
from converters.switch import roll_back
from converters.targets import image_for
from tests.support import fake_tensorrt

L4 = Gpu(name="NVIDIA L4", compute_capability="8.9", cuda="13.0", driver="560.35")
H100 = replace(L4, name="NVIDIA H100", compute_capability="9.0")
PROBED = (
    "library=/usr/lib/libnvinfer.so.10.5.0\npackage=x 10.5.0.18-1\ntrtexec=/bin/trtexec\ngpu=NVIDIA L4, 8.9, 560.35\n"
)
BUILT = "[I] Selected Device: NVIDIA L4\n[I] Compute Capability: 8.9\n[I] TensorRT version: 10.5.0\n"


@pytest.fixture
def repository(two_versions, tmp_path):
    return shutil.copytree(two_versions, tmp_path / "models")


@pytest.fixture
def request_for(repository, tmp_path):
    base = PlanRequest(
        name="tiny",
        repository=repository,
        target=Target.CUDA,
        image=image_for(Target.CUDA, "24.10"),
        in_image=False,
        profile=None,
        workspace_mib=None,
        builder_level=None,
        hardware_compatible=False,
        version_compatible=False,
        timing_cache=tmp_path / "cache",
        now=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    return lambda **changes: replace(base, **changes)


def quiet(stage: str) -> None:
    """Reports nothing."""


def no_docker(command, timeout_s):
    raise MissingError("docker is not installed")


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def build_here(request, monkeypatch, gpu=L4, version="10.5.0.18", runner=no_docker):
    fake_tensorrt.install(monkeypatch, version)
    return make_plan(request, quiet, runner, local_builder, lambda: gpu)


def config(repository, name):
    return triton_config.parse((repository / "tiny" / name).read_text())


def test_a_plan_lies_beside_its_onnx_and_the_manifest_knows_where_it_came_from(request_for, repository, monkeypatch):
    made = build_here(request_for(), monkeypatch)
    assert (made.outcome, made.version, made.plan.file) == ("built", 2, "model_sm89.plan")
    assert (repository / "tiny/2/model_sm89.plan").read_bytes() == b"plan of TensorRT 10.5.0.18"
    plan = manifest.read(repository / "tiny/2")["plans"]["model_sm89.plan"]
    assert (plan["tensorrt"], plan["cuda"], plan["driver"], plan["gpu"]) == ("10.5.0.18", "12.6", "560.35", "NVIDIA L4")
    assert plan["profile"] == {"min": 1, "opt": 4, "max": 8}
    assert len(plan["timing_cache_sha256"]) == 64
    integrity.check(repository / "tiny/2")
    problems = [found for found in static_findings(Repository(repository), "tiny") if found.severity is Severity.ERROR]
    assert problems == []


def test_a_dry_run_builds_a_plan_and_lays_nothing_down(request_for, repository, monkeypatch):
    before = snapshot(repository)
    made = build_here(request_for(dry_run=True), monkeypatch)
    assert (made.outcome, made.plan.file) == ("dry run", "model_sm89.plan")
    assert snapshot(repository) == before


def test_plans_for_several_gpus_and_the_cpu_share_the_model(request_for, repository, monkeypatch):
    build_here(request_for(), monkeypatch)
    build_here(request_for(profile=BatchProfile(opt=2, max=4)), monkeypatch, gpu=H100)
    cuda = config(repository, "configs/cuda.pbtxt")
    assert cuda["cc_model_filenames"] == {"8.9": "model_sm89.plan", "9.0": "model_sm90.plan"}
    assert cuda["max_batch_size"] == 4
    assert config(repository, "configs/cpu.pbtxt") == config(repository, "config.pbtxt")
    integrity.check(repository / "tiny/2")


def test_the_same_again_is_up_to_date_and_another_option_is_built(request_for, repository, monkeypatch):
    build_here(request_for(), monkeypatch)
    before = snapshot(repository)
    assert build_here(request_for(), monkeypatch).outcome == "up to date"
    assert snapshot(repository) == before
    assert build_here(request_for(builder_level=1), monkeypatch).outcome == "built"
    assert build_here(request_for(), monkeypatch).outcome == "built"


@pytest.mark.parametrize(("target", "kind"), [(Target.CUDA, HardwareMode.GPU), (Target.L4T, HardwareMode.JETSON)])
def test_a_plan_is_tuned_for_the_batch_that_the_agent_declares(target, kind):
    assert DECLARED_BATCH[target] == LIMITS[kind].batch_size


def test_a_jetson_plan_is_tuned_for_the_batch_that_jetsons_declare(request_for, monkeypatch):
    image = replace(image_for(Target.L4T), inferred=())
    made = build_here(request_for(target=Target.L4T, image=image), monkeypatch, version="10.3.0.26")
    assert made.plan.profile == {"min": 1, "opt": 2, "max": 8}


def test_a_plan_that_the_image_could_not_load_is_refused_before_it_is_built(request_for, repository, monkeypatch):
    before = snapshot(repository)
    with pytest.raises(ModelError, match=r"24\.10-py3 can't load: it carries 10\.5\.0\.18.*--in-image 24\.10"):
        build_here(request_for(), monkeypatch, version="10.6.0.26")
    assert snapshot(repository) == before


def test_an_image_that_is_here_is_asked_and_believed_over_the_table(request_for, monkeypatch):
    def docker(command, timeout_s):
        return Finished(0, PROBED.replace("10.5.0", "10.7.0") if "run" in command else "")

    assert build_here(request_for(), monkeypatch, version="10.7.0.18", runner=docker).plan.image_probed
    with pytest.raises(ModelError, match=r"it carries 10\.7\.0"):
        build_here(request_for(builder_level=2), monkeypatch, runner=docker)


def test_a_version_that_the_table_only_infers_is_not_built_upon(request_for, monkeypatch):
    with pytest.raises(MissingError, match="docker pull"):
        build_here(request_for(image=image_for(Target.CUDA, "26.06")), monkeypatch, version="11.0.0.114")


@pytest.mark.parametrize(
    ("built", "loaded", "compatible"),
    [("10.5.0.18", "10.5.0", False), ("10.5.0", "10.7.0.23", True), ("10.5.0", "11.2.1.2", True)],
)
def test_versions_that_fit(built, loaded, compatible):
    check_versions(built, loaded, image_for(Target.CUDA), version_compatible=compatible)


@pytest.mark.parametrize(
    ("built", "loaded", "compatible"),
    [
        ("10.5.0.18", "10.5.0.19", False),
        ("10.5", "10.5", False),
        ("10.5.0", "", False),
        ("10.7.0", "10.5.0", True),
        ("10.5.0", "12.0.0", True),
        ("10.5.0", "", True),
    ],
)
def test_versions_that_do_not(built, loaded, compatible):
    with pytest.raises(ModelError, match="can't load"):
        check_versions(built, loaded, image_for(Target.CUDA), version_compatible=compatible)


def docker_that_builds(work_files, log=BUILT, probed=PROBED):
    def docker(command, timeout_s):
        if "run" not in command or "--mount" not in command:
            return Finished(0, probed)
        shared = dict(part.split("=") for part in command[command.index("--mount") + 1].split(","))
        work = Path(shared["src"])
        work_files.update({path.name: path.read_bytes() for path in work.iterdir()})
        (work / "model.plan").write_bytes(b"plan from an image")
        option = next(part for part in command if part.startswith("--timingCacheFile="))
        (work / Path(option).name).write_bytes(b"measured")
        return Finished(0, log)

    return docker


def test_a_build_in_an_image_sees_the_model_and_earlier_measurements_and_leaves_a_plan(request_for, repository):
    seen = {}
    request = request_for(in_image=True)
    made = make_plan(request, quiet, docker_that_builds(seen))
    assert (made.outcome, made.plan.tensorrt, made.plan.image_probed) == ("built", "10.5.0.18", True)
    assert made.command.startswith("docker run --rm --gpus all")
    assert (repository / "tiny/2/model_sm89.plan").read_bytes() == b"plan from an image"
    assert seen == {"model.onnx": (repository / "tiny/2/model.onnx").read_bytes()}
    assert [path.suffix for path in request.timing_cache.iterdir()] == [".timing"]
    assert make_plan(request, quiet, docker_that_builds(seen)).outcome == "up to date"
    make_plan(replace(request, builder_level=1), quiet, docker_that_builds(seen))
    assert b"measured" in seen.values()
    integrity.check(repository / "tiny/2")


def test_an_image_may_be_a_whole_reference_which_leaves_nothing_behind_either(request_for):
    reference = "nvcr.io/nvidia/tensorrt:24.10-py3"
    image = replace(image_for(Target.CUDA, "24.10"), tag=reference, reference=reference, tensorrt="")
    request = request_for(image=image, in_image=True)
    made = make_plan(request, quiet, docker_that_builds({}))
    assert (made.outcome, made.plan.image) == ("built", reference)
    assert f"src={request.timing_cache}/tiny-2-nvcr.io_nvidia_tensorrt_24.10-py3,dst=/build" in made.command
    assert [path.suffix for path in request.timing_cache.iterdir()] == [".timing"]


def test_a_jetson_gives_containers_its_gpu_in_its_own_way(request_for):
    log = BUILT.replace("8.9", "8.7").replace("10.5.0", "10.3.0")
    probed = PROBED.replace("10.5.0", "10.3.0").replace("gpu=NVIDIA L4, 8.9, 560.35", "gpu=")
    docker = docker_that_builds({}, log=log, probed=probed)
    made = make_plan(request_for(target=Target.L4T, image=image_for(Target.L4T), in_image=True), quiet, docker)
    assert made.command.startswith("docker run --rm --runtime nvidia --mount")
    assert (made.plan.file, made.plan.driver) == ("model_sm87.plan", "")


def test_an_image_that_builds_with_another_tensorrt_than_it_loads_is_refused(request_for, repository):
    before = snapshot(repository)
    request = request_for(in_image=True)
    with pytest.raises(ModelError, match="can't load"):
        make_plan(request, quiet, docker_that_builds({}, log=BUILT.replace("10.5.0", "10.4.0")))
    assert snapshot(repository) == before
    assert list(request.timing_cache.glob("tiny-*")) == []


@pytest.mark.parametrize("kind", ["here", "in an image"])
def test_without_gpu_or_docker_the_command_is_printed(request_for, repository, kind):
    def nothing():
        raise MissingError("this environment has no tensorrt")

    before = snapshot(repository)
    with pytest.raises(MissingError, match=r"docker run --rm --gpus all .*trtexec .*--maxShapes=frames:8x96x96"):
        make_plan(request_for(in_image=kind != "here"), quiet, no_docker, nothing)
    assert snapshot(repository) == before


def test_the_verb_ends_with_3_and_wrong_batches_with_2(repository, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["tensorrt", "tiny", "--repository", str(repository), "--json"]
    assert main([*arguments, "--in-image"]) == 3
    assert "docker run" in json.loads(capsys.readouterr().out)["error"]
    assert main([*arguments, "--batch", "8,4,1"]) == 2
    assert main([*arguments, "--in-image", "19.01"]) == 2
    assert main([*arguments, "--image", "19.01"]) == 2
    assert main([*arguments, "--image", "24.10", "--in-image", "24.11"]) == 2
    assert main(["tensorrt", "other", "--repository", str(repository), "--json"]) == 1


@pytest.mark.parametrize(
    "options", [("--image", "24.10"), ("--image", "24.10", "--in-image"), ("--in-image", "24.10")], ids=" ".join
)
def test_the_image_that_a_plan_is_for_is_named_by_either_option(repository, monkeypatch, tmp_path, capsys, options):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["tensorrt", "tiny", "--repository", str(repository), "--json", *options]) == 3
    assert "nvcr.io/nvidia/tritonserver:24.10-py3" in json.loads(capsys.readouterr().out)["error"]


def test_a_changed_plan_or_model_is_found(request_for, repository, monkeypatch):
    build_here(request_for(), monkeypatch)
    (repository / "tiny/2/model_sm89.plan").write_bytes(b"another")
    with pytest.raises(ModelError, match=r"model_sm89\.plan: was changed"):
        integrity.check(repository / "tiny/2")
    with pytest.raises(ModelError, match="was changed"):
        build_here(request_for(), monkeypatch)


@pytest.mark.parametrize("replacing", [False, True])
def test_a_kill_at_any_step_leaves_a_sound_version_with_the_old_plan_or_the_new(
    request_for, repository, monkeypatch, replacing
):
    old = None
    if replacing:
        build_here(request_for(builder_level=1), monkeypatch)
        old = manifest.read(repository / "tiny/2")["plans"]["model_sm89.plan"]["options"]["builder_level"]
    whole = shutil.copytree(repository, repository.with_name("whole"))
    seen = set()
    for step in range(1, 40):
        shutil.rmtree(repository)
        shutil.copytree(whole, repository)
        with monkeypatch.context() as patch:
            finished = _killed_at(step, patch, request_for())
        integrity.check(repository / "tiny/2")
        plans = manifest.read(repository / "tiny/2").get("plans", {})
        seen.add(plans["model_sm89.plan"]["options"]["builder_level"] if plans else "none")
        if finished:
            break
    assert finished
    assert seen == {old if replacing else "none", None}
    assert (repository / "tiny/configs/cuda.pbtxt").is_file()


def _killed_at(step, patch, request):
    """Publish a plan, ending at the given system call that writes; return whether it got to its end."""
    calls = 0

    def counted(function):
        def wrapped(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == step:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return wrapped

    for name in ("_replace", "_exchange", "_sync"):
        patch.setattr(plan_store, name, counted(getattr(plan_store, name)))
    patch.setattr(plan_store.shutil, "copytree", counted(shutil.copytree))
    try:
        build_here(request, patch)
    except KeyboardInterrupt:
        return False
    return True


def test_where_folders_can_not_be_exchanged_two_renames_do(request_for, repository, monkeypatch):
    class Libc:
        def renameat2(self, *arguments):
            plan_store.ctypes.set_errno(plan_store.errno.EINVAL)
            return -1

    monkeypatch.setattr(plan_store.ctypes, "CDLL", lambda *_, **__: Libc())
    build_here(request_for(), monkeypatch)
    integrity.check(repository / "tiny/2")
    assert (repository / "tiny/2/model_sm89.plan").is_file()


def served_by(repository):
    """The version that each configuration names, by file."""
    names = ("config.pbtxt", "configs/cpu.pbtxt", "configs/cuda.pbtxt")
    there = [name for name in names if (repository / "tiny" / name).exists()]
    return {Path(name).stem: triton_config.served_versions(config(repository, name)) for name in there}


def test_every_server_follows_a_rollback_whether_the_version_has_plans_or_not(request_for, repository, monkeypatch):
    build_here(request_for(), monkeypatch)
    assert served_by(repository) == {"config": [2], "cpu": [2], "cuda": [2]}
    roll_back(repository, "tiny", 1, None)
    assert served_by(repository) == {"config": [1]}
    build_here(request_for(), monkeypatch)
    assert served_by(repository) == {"config": [1], "cpu": [1], "cuda": [1]}
    roll_back(repository, "tiny", 2, None)
    assert served_by(repository) == {"config": [2], "cpu": [2], "cuda": [2]}


def test_a_rollback_that_a_server_refuses_leaves_plans_in_service(request_for, repository, monkeypatch):
    class ServesTwoAlone(LiveServer):
        """A server that answers, and can't load version 1."""

        def check(self):
            """It is there."""

        def load(self, name, version):
            """Refuse all but version 2."""
            if version != 2:
                raise ModelError("out of memory")

    build_here(request_for(), monkeypatch)
    before = snapshot(repository)
    with pytest.raises(ModelError, match="out of memory\nrolled back: tiny version 2 is served"):
        roll_back(repository, "tiny", 1, ServesTwoAlone("localhost:1"))
    assert snapshot(repository) == before


def test_a_builder_is_what_the_environment_gives(monkeypatch):
    fake_tensorrt.install(monkeypatch, "11.2.1.2")
    builder: Builder = local_builder()
    assert builder.version == "11.2.1.2"
