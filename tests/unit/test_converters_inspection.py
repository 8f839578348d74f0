"""What inspect says of cost and of images."""

import json

import onnx
import pytest

from converters.cli import main
from converters.inspection import inspect
from tests.support.tiny_yolox import saved, tiny_yolox


def test_a_file_that_every_image_loads_says_so(tmp_path):
    model = onnx.shape_inference.infer_shapes(tiny_yolox())
    inspection = inspect(model, 11)
    assert inspection.images_too_old == ()
    assert inspection.cost.macs > 0
    assert inspection.lines()[-1].endswith("in every image that `ruth-convert targets` lists")


@pytest.mark.parametrize(("ir", "opset", "newest"), [(9, 11, "23.04"), (10, 11, "24.04"), (8, 22, "25.02")])
def test_images_that_are_too_old_for_the_file_are_named(ir, opset, newest):
    model = tiny_yolox()
    model.ir_version = ir
    inspection = inspect(model, opset)
    servers = [tag for tag in inspection.images_too_old if "igpu" not in tag]
    assert servers[-1] == newest
    assert newest in inspection.lines()[-1]


def test_the_verb_tells_cost_memory_and_images(tmp_path, capsys):
    model = saved(tiny_yolox(), tmp_path / "tiny.onnx")
    assert main(["inspect", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images_too_old"] == []
    assert set(found["cost"]) == {"macs", "parameters", "parameter_bytes", "activation_bytes", "unknown"}
    assert found["cost"]["unknown"] == 0
    assert main(["inspect", str(model)]) == 0
    starts = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert starts.index("cost") + 3 == starts.index("loads")
