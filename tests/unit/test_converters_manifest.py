"""What a manifest says."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from converters import manifest
from converters.errors import ModelError
from converters.spec import Letterbox, ModelSpec, Serving, Source, Target, Task

RECORD = manifest.Record(
    name="people",
    version=2,
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    command=["ruth-convert", "onnx", "model.onnx"],
    converter="ruth-convert 0.1.0",
    source=Source(
        name="model.onnx", sha256="a" * 64, licence=None, family="yolox", why="its head", details=(("decode", "raw"),)
    ),
    spec=ModelSpec(
        task=Task.DETECT,
        height=64,
        width=64,
        letterbox=Letterbox.CENTER,
        pad_luma=16,
        labels=("Fußgänger",),
        score_threshold=0.3,
        nms_iou=0.45,
    ),
    serving=Serving(target=Target.CPU, instances=2, threads=1),
    model_sha256="b" * 64,
    parity={"same_pixels": {"rows": 3}},
    pictures={"names": ["a.jpg"], "sha256": "c" * 64, "synthetic": False},
)


def test_everything_a_later_reader_asks_for_is_there(tmp_path):
    (tmp_path / manifest.MANIFEST_FILE).write_text(manifest.render(RECORD), encoding="utf-8")
    fields = manifest.read(tmp_path)
    assert fields["created_at"] == "2026-01-02T03:04:05+00:00"
    assert (fields["source"]["licence"], fields["source"]["details"]) == (None, {"decode": "raw"})
    assert (fields["options"]["letterbox"], fields["serving"]["target"]) == ("center", "cpu")
    assert fields["options"]["labels"] == ["Fußgänger"]
    assert {"python", "onnx", "onnxruntime", "numpy"} <= set(fields["tools"])


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        manifest.render(replace(RECORD, created_at=datetime(2026, 1, 2)))  # noqa: DTZ001  # the mistake itself


@pytest.mark.parametrize("text", [None, "", "{", json.dumps([1]), "[" * 100_000])
def test_a_manifest_that_is_missing_or_broken_is_one_clear_message(tmp_path, text):
    if text is not None:
        (tmp_path / manifest.MANIFEST_FILE).write_text(text)
    with pytest.raises(ModelError, match="publish the model again"):
        manifest.read(tmp_path)
