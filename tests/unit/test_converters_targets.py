"""The table of Triton images."""

import json

import pytest

from converters.cli import main
from converters.errors import ModelError, UsageError
from converters.spec import Target
from converters.targets import OnnxLimit, check_opset, image_for, images, onnx_limit, too_old_for, version_numbers
from tests.support.tiny_yolox import saved, tiny_yolox


def test_every_image_has_one_row_and_versions_that_never_fall():
    tags = [image.tag for image in images()]
    assert len(tags) == len(set(tags)) > 40
    servers = [image for image in images() if Target.CUDA in image.targets]
    for field in ("triton", "cuda", "tensorrt", "onnxruntime"):
        versions = [version_numbers(getattr(image, field))[:2] for image in servers]
        assert versions == sorted(versions), field


def test_the_defaults_are_what_docker_pulls():
    assert image_for(Target.CUDA).reference.endswith("tritonserver:26.08-py3")
    assert image_for(Target.L4T).reference.endswith("tritonserver:24.08-py3-igpu")
    assert image_for(Target.CUDA, "24.10").tensorrt == "10.5.0.18"


@pytest.mark.parametrize("arguments", [(Target.CUDA, "24.08-igpu"), (Target.L4T, "26.08"), (Target.CUDA, "latest")])
def test_an_image_that_is_not_for_the_target_is_refused_with_those_that_are(arguments):
    with pytest.raises(UsageError, match="there are: 2"):
        image_for(*arguments)


def test_inferred_versions_are_marked_and_stripped_of_the_mark():
    image = image_for(Target.CUDA, "26.06")
    assert (image.tensorrt, image.inferred) == ("11.0.0.114", ("tensorrt",))


@pytest.mark.parametrize(
    ("release", "limit"),
    [("1.12.1", None), ("1.16.3", OnnxLimit(9, 19)), ("1.19.2", OnnxLimit(10, 21)), ("1.99.0", OnnxLimit(13, 26))],
)
def test_a_release_of_onnx_runtime_has_the_limits_of_the_onnx_it_is_built_with(release, limit):
    assert onnx_limit(release) == limit


def test_images_that_can_not_load_a_graph_are_those_with_an_older_runtime():
    assert too_old_for(ir=8, opset=17) == ()
    assert "24.04" in {image.tag for image in too_old_for(ir=10, opset=11)}
    assert "24.05" not in {image.tag for image in too_old_for(ir=10, opset=11)}
    assert {image.tag for image in too_old_for(ir=8, opset=18)} == {"22.12", "23.01", "23.02"}


def test_a_graph_newer_than_the_image_of_its_target_is_refused():
    for target, opset in ((Target.L4T, 21), (Target.CUDA, 26), (Target.CPU, 99)):
        check_opset(target, opset, "model.onnx")
    with pytest.raises(ModelError, match=r"model\.onnx is of opset 22; .*24\.08-igpu.* reads up to 21"):
        check_opset(Target.L4T, 22, "model.onnx")
    with pytest.raises(ModelError, match="export it with opset 26 or older"):
        check_opset(Target.CUDA, 27, "model.onnx")


@pytest.mark.parametrize("task", [(), ("--task", "raw")])
def test_a_model_newer_than_its_target_reads_is_refused_before_anything_is_tried(task, tmp_path, capsys):
    model = saved(tiny_yolox(opset=22), tmp_path / "new.onnx")
    arguments = ["onnx", str(model), "--name", "new", "--repository", str(tmp_path / "models"), "--target", "l4t"]
    assert main([*arguments, *task, "--json"]) == 1
    assert "reads up to 21: export it" in json.loads(capsys.readouterr().out)["error"]
    assert not (tmp_path / "models").exists()


def test_the_verb_prints_the_table_and_the_same_as_json(capsys):
    assert main(["targets", "--target", "l4t", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["images"]
    assert {image["tag"] for image in found} >= {"26.02-igpu", "24.08-igpu"}
    assert main(["targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tag", "triton", "cuda", "tensorrt", "onnxruntime", "driver", "jetpack"]
    assert any(line.startswith("26.08 ") and line.endswith("default for cuda") for line in lines)
