"""YOLOX-nano in FP16 and INT8: judged on a real clip and published through a real Triton."""

import json

import pytest

from converters.cli import main


@pytest.mark.parametrize(
    ("precision", "f1", "share"), [("fp16", 0.98, 0.55), pytest.param("int8", 0.95, 0.5, marks=pytest.mark.slow)]
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


@pytest.mark.slow
def test_given_ground_truth_the_loss_of_map_is_in_the_manifest_and_the_one_that_evaluate_sees(
    data_dir, tmp_path, capsys
):
    truth = tmp_path / "coco.json"
    truth.write_text(json.dumps(people_of(data_dir)))
    repository, model = tmp_path / "models", data_dir / "models/yolox_nano_416.onnx"
    ground_truth = ["--annotations", truth, "--images", data_dir / "images"]
    arguments = ["onnx", model, "--name", "people", "--repository", repository, "--max-batch-size", "2", "--json"]
    assert main([*map(str, [*arguments, "--precision", "fp16", *ground_truth])]) == 0
    summary = json.loads(capsys.readouterr().out)["precision"]["summary"]
    figures = json.loads((repository / "people/1/manifest.json").read_text())["precision"]
    assert figures["map_fp32"] > 0.6
    assert figures["map_fp32"] - figures["map"] == pytest.approx(figures["map_loss"])
    assert figures["map_loss"] <= figures["max_map_loss"] == 0.005
    assert f"mAP {figures['map']:.4f}" in summary
    assert main([*map(str, ["evaluate", "people", *ground_truth, "--repository", repository, "--json"])]) == 0
    assert json.loads(capsys.readouterr().out)["map"] == pytest.approx(figures["map"], abs=1e-6)


def people_of(data_dir):
    """The people that a plain decoder finds in the photographs, as COCO's JSON."""
    found = json.loads((data_dir / "reference_outputs.json").read_text())["yolox_nano_416"]["results"]
    boxes = [
        (image, row["box"])
        for image, rows in enumerate(found.values())
        for row in rows
        if row["label"] == "person" and row["score"] >= 0.4
    ]
    return {
        "categories": [{"id": 1, "name": "person"}],
        "images": [{"id": image, "file_name": name} for image, name in enumerate(found)],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for number, (image, (x1, y1, x2, y2)) in enumerate(boxes)
        ],
    }
