"""Asking a Triton image what it carries, and building inside it; a runner stands in for Docker."""

import os
import subprocess
from pathlib import Path

import pytest

from converters import image_probe
from converters.engine_options import BatchProfile, EngineOptions
from converters.errors import MissingError, ModelError
from converters.image_build import build, build_command, parse_build_log
from converters.image_probe import Finished, ImageFacts, docker_usable, has_image, parse_probe, probe, run

REFERENCE = "nvcr.io/nvidia/tritonserver:24.10-py3"
SAID = """
triton=2.51.0
cuda=12.6.2.004
library=/usr/lib/x86_64-linux-gnu/libnvinfer.so.10.5.0
package=libnvinfer-bin 10.5.0.18-1+cuda12.6
declared=10.5.0.18
trtexec=/usr/src/tensorrt/bin/trtexec
gpu=NVIDIA L4, 8.9, 560.35.03
"""
LOG = """&&&& RUNNING TensorRT.trtexec [TensorRT v100500]
[I] Selected Device: NVIDIA L4
[I] Compute Capability: 8.9
[I] TensorRT version: 10.5.0
&&&& PASSED TensorRT.trtexec
"""
OPTIONS = EngineOptions(profile=BatchProfile(min=1, opt=2, max=4))


def answering(status, output=""):
    asked = []

    def runner(command, timeout_s):
        asked.append(list(command))
        return Finished(status, output)

    return runner, asked


def test_an_image_says_versions_by_its_files():
    assert parse_probe(REFERENCE, SAID) == ImageFacts(
        tensorrt="10.5.0.18",
        cuda="12.6.2.004",
        trtexec="/usr/src/tensorrt/bin/trtexec",
        gpu="NVIDIA L4",
        compute_capability="8.9",
        driver="560.35.03",
    )


def test_the_library_that_is_there_wins_over_what_the_image_declares():
    lying = SAID.replace("libnvinfer.so.10.5.0", "libnvinfer.so.10.7.0")
    assert parse_probe(REFERENCE, lying).tensorrt == "10.7.0"


@pytest.mark.parametrize(
    "change",
    [
        ("library=/usr/lib/x86_64-linux-gnu/libnvinfer.so.10.5.0\n", ""),
        ("package=", "library=/opt/libnvinfer.so.10.6.0\npackage="),
    ],
)
def test_an_image_with_no_tensorrt_or_two_is_refused(change):
    with pytest.raises(ModelError, match="TensorRT"):
        parse_probe(REFERENCE, SAID.replace(*change))


def test_the_probe_script_runs_in_a_plain_shell_and_its_answer_can_be_read(tmp_path):
    """Here there is no TensorRT: the script ends well all the same, and the image is refused for it."""
    command = ["sh", "-c", image_probe._PROBE_SCRIPT.replace("find /", f"find {tmp_path}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.stderr == ""
    assert done.returncode == 0
    with pytest.raises(ModelError, match="holds no TensorRT"):
        parse_probe(REFERENCE, done.stdout)
    (tmp_path / "libnvinfer.so.10.5.0").touch()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert parse_probe(REFERENCE, done.stdout).tensorrt == "10.5.0"


def test_a_container_that_gets_no_gpu_is_something_missing_and_an_image_that_is_not_there_unusable():
    runner, asked = answering(125, 'docker: could not select device driver "" with capabilities: [[gpu]].')
    with pytest.raises(MissingError, match="Container Toolkit"):
        probe(REFERENCE, runner)
    assert asked[0][:5] == ["docker", "run", "--rm", "--gpus", "all"]
    runner, _ = answering(125, "docker: manifest unknown.")
    with pytest.raises(ModelError, match="manifest unknown"):
        probe(REFERENCE, runner)


def test_asking_for_versions_alone_takes_no_gpu():
    runner, asked = answering(0, SAID)
    assert probe(REFERENCE, runner, ()).tensorrt == "10.5.0.18"
    assert asked[0][:4] == ["docker", "run", "--rm", "--entrypoint"]


def test_docker_is_usable_if_its_daemon_answers():
    def absent(command, timeout_s):
        raise MissingError("docker is not installed")

    assert docker_usable(answering(0)[0])
    assert not docker_usable(answering(1)[0])
    assert not docker_usable(absent)
    assert not has_image(REFERENCE, answering(1)[0])


def test_commands_run_for_real_and_end_with_a_message():
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"], 10.0) == Finished(3, "out\nerr\n")
    with pytest.raises(MissingError, match="no-such-program is not installed"):
        run(["no-such-program"], 10.0)
    with pytest.raises(ModelError, match=r"within 0\.1 s"):
        run(["sleep", "20"], 0.1)


def test_the_build_command_shares_one_folder_and_names_every_option():
    command = build_command(REFERENCE, Path("/tmp/work"), parse_probe(REFERENCE, SAID), OPTIONS, (624, 416), "t.timing")
    assert command == [
        *("docker", "run", "--rm", "--gpus", "all", "--mount", "type=bind,src=/tmp/work,dst=/build"),
        *("--entrypoint", "/usr/src/tensorrt/bin/trtexec", REFERENCE),
        *("--onnx=/build/model.onnx", "--saveEngine=/build/model.plan", "--timingCacheFile=/build/t.timing"),
        *("--minShapes=frames:1x624x416", "--optShapes=frames:2x624x416", "--maxShapes=frames:4x624x416"),
        *("--stronglyTyped", "--noTF32", "--skipInference"),
    ]


def test_an_image_without_trtexec_names_one_that_has_it():
    facts = parse_probe(REFERENCE, SAID.replace("trtexec=/usr", "was=/usr"))
    with pytest.raises(ModelError, match=r"nvcr\.io/nvidia/tensorrt:24\.10-py3"):
        build_command(REFERENCE, Path("/tmp/work"), facts, OPTIONS, (624, 416), "t.timing")


def test_a_build_says_what_built_it_or_why_it_failed():
    built = build(["docker"], answering(0, LOG)[0])
    assert (built.tensorrt, built.gpu, built.compute_capability) == ("10.5.0", "NVIDIA L4", "8.9")
    with pytest.raises(ModelError, match="Invalid node"):
        build(["docker"], answering(1, "[I] x\n[E] Invalid node: Foo\n[I] y")[0])
    with pytest.raises(ModelError, match="does not say"):
        parse_build_log("&&&& PASSED")
