"""What counts as published already: the same model, asked for in the same way, whatever its serving was tuned to."""

import json
from dataclasses import asdict, replace

import pytest

from converters import triton_config
from converters.manifest import MANIFEST_FILE
from converters.repository import Repository
from converters.spec import Letterbox, ModelSpec, Serving, Target, Task
from converters.tune import Setting, with_setting
from converters.up_to_date import stands

SPEC = ModelSpec(
    task=Task.DETECT,
    height=64,
    width=96,
    letterbox=Letterbox.CENTER,
    pad_luma=114,
    labels=("person",),
    score_threshold=0.3,
    nms_iou=0.45,
)
SERVING = Serving(target=Target.CPU, instances=2, threads=1, warmup_file="frame.nv12")
IDENTITY = triton_config.Identity(name="people", version=3, source_sha256="1" * 64, model_sha256="2" * 64)
TUNED = Setting(max_batch_size=4, instances=1, threads=2, max_queue_delay_microseconds=0)


@pytest.fixture
def repository(tmp_path):
    version = tmp_path / "people/3"
    version.mkdir(parents=True)
    (tmp_path / "people/config.pbtxt").write_text(triton_config.render(SPEC, SERVING, IDENTITY))
    (version / "model.onnx").write_bytes(b"model")
    (version / MANIFEST_FILE).write_text(json.dumps({"serving": asdict(SERVING)}))
    return Repository(tmp_path)


def tune(repository):
    config = triton_config.parse(repository.config("people"))
    (repository.root / "people/config.pbtxt").write_text(triton_config.text_of(with_setting(config, TUNED)))


def asked(repository, spec=SPEC, serving=SERVING, identity=IDENTITY, data=b"model"):
    return stands(repository, identity, triton_config.render(spec, serving, identity), serving, data)


def test_what_was_published_stands_and_nothing_else(repository):
    assert asked(repository)
    assert not asked(repository, data=b"other")
    assert not asked(repository, spec=replace(SPEC, labels=("cat",)))
    assert not asked(repository, serving=replace(SERVING, max_batch_size=4))
    assert not asked(repository, identity=replace(IDENTITY, source_sha256="3" * 64))


def test_a_tuned_model_stands_for_the_request_that_made_it_alone(repository):
    tune(repository)
    assert asked(repository)
    assert not asked(repository, serving=replace(SERVING, max_batch_size=4, instances=1, threads=2))
    assert not asked(repository, spec=replace(SPEC, score_threshold=0.4))


@pytest.mark.parametrize(("old", "new"), [('"center"', '"stretch"'), ('name: "people"', 'name: "cars"'), ("96", "98")])
def test_a_configuration_that_says_something_else_of_the_model_is_published_again(repository, old, new):
    path = repository.root / "people/config.pbtxt"
    path.write_text(path.read_text().replace(old, new, 1))
    assert not asked(repository)


def test_a_tuned_model_whose_manifest_is_gone_is_published_again(repository):
    (repository.root / "people/3" / MANIFEST_FILE).unlink()
    assert asked(repository)
    tune(repository)
    assert not asked(repository)
