"""YOLOX-nano in FP16 and INT8: judged on a real clip and published through a real Triton."""

import json

import pytest

from converters.cli import main


@pytest.mark.parametrize(
    ("precision", "f1", "share"), [("fp16", 0.98, 0.55), pytest.param("int8", 0.95, 0.45, marks=pytest.mark.slow)]
)
def test_it_passes_its_gate_on_a_street_and_is_published(data_dir, tmp_path, capsys, precision, f1, share):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "aisle.jpg").write_bytes((data_dir / "images/store_aisle_3people.jpg").read_bytes())
    repository, model = tmp_path / "models", data_dir / "models/yolox_nano_416.onnx"
    clip = data_dir / "video/street_people_cars_pexels854100.mp4"
    arguments = ["onnx", model, "--name", "people", "--repository", repository, "--pictures", pictures]
    arguments += ["--precision", precision, "--calibration", clip, "--max-batch-size", "2", "--json"]
    assert main([*map(str, arguments)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["triton"]["unmatched"] == 0
    figures = json.loads((repository / "people/1/manifest.json").read_text())["precision"]
    assert figures["f1"] >= f1
    assert figures["matched"] > 300
    assert figures["bytes"][precision] < share * figures["bytes"]["fp32"]
    assert f'string_value: "{precision}"' in (repository / "people/config.pbtxt").read_text()
