"""Which models the agent takes for changed after they were published."""

import json
from hashlib import sha256

import pytest
from triton_agent.integrity import Integrity
from triton_agent.repository import served_versions, wanted_models
from triton_agent.settings import Serving


def add_version(folder, name, version, files, config=""):
    model = folder / name
    target = model / str(version)
    target.mkdir(parents=True)
    hashes = {}
    for file, content in files.items():
        (target / file).write_bytes(content)
        hashes[file] = sha256(content).hexdigest()
    manifest = {"model_sha256": hashes.pop("model.onnx"), "files": hashes}
    (target / "manifest.json").write_text(json.dumps(manifest))
    (model / "config.pbtxt").write_text(config)
    return target


def altered(folder, integrity=None, **options):
    serving = Serving(folder, **options)
    return (integrity or Integrity(None)).altered(wanted_models(serving))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.onnx", "model_sm89.plan"])
def test_one_flipped_bit_is_seen_in_whatever_file_the_manifest_speaks_of(tmp_path, file):
    version = add_version(tmp_path, "m", 1, {"model.onnx": b"graph", "model_sm89.plan": b"engine"})
    integrity = Integrity(None)
    assert altered(tmp_path, integrity) == {}
    flip_a_bit(version / file)
    assert file in altered(tmp_path, integrity)["m"]
    flip_a_bit(version / file)
    assert altered(tmp_path, integrity) == {}


def test_a_file_that_is_gone_and_a_manifest_that_is_none_are_told(tmp_path):
    (add_version(tmp_path, "gone", 1, {"model.onnx": b"graph"}) / "model.onnx").unlink()
    for name, text in {"cut": '{"model_sha', "deep": "[" * 100_000, "odd": '{"model_sha256": "0", "files": 1}'}.items():
        (add_version(tmp_path, name, 1, {"model.onnx": b"graph"}) / "manifest.json").write_text(text)
    found = altered(tmp_path)
    assert "is missing" in found["gone"]
    assert all("is no manifest" in found[name] for name in ("cut", "deep", "odd"))


def test_models_that_nobody_published_are_left_to_triton(tmp_path):
    (tmp_path / "theirs/1").mkdir(parents=True)
    (tmp_path / "theirs/1/model.onnx").write_bytes(b"graph")
    (tmp_path / "empty").mkdir()
    for name, text in {"list": "[1]", "another": '{"name": "x"}'}.items():
        (add_version(tmp_path, name, 1, {"model.onnx": b"graph"}) / "manifest.json").write_text(text)
    assert altered(tmp_path) == {}


def test_only_what_is_to_be_served_counts(tmp_path):
    policy = "version_policy { specific { versions: [ 2 ] } }"
    flip_a_bit(add_version(tmp_path, "m", 1, {"model.onnx": b"old"}) / "model.onnx")
    add_version(tmp_path, "m", 2, {"model.onnx": b"new"}, policy)
    flip_a_bit(add_version(tmp_path, "other", 1, {"model.onnx": b"graph"}) / "model.onnx")
    assert altered(tmp_path, load_models=("m",)) == {}
    assert set(altered(tmp_path)) == {"other"}


@pytest.mark.parametrize(
    ("config", "served"),
    [
        ("version_policy { specific { versions: 3 } }", {"3"}),
        ("version_policy: { specific: { versions: [1, 3] } }", {"1", "3"}),
        ("version_policy { specific { versions: [ 4 ] } }", set()),
        ("version_policy { latest { num_versions: 1 } }", {"3"}),
        ("version_policy { latest { num_versions: 2 } }", {"2", "3"}),
        ("version_policy: { all: {} }", {"1", "2", "3"}),
        ("", {"3"}),
    ],
)
def test_versions_are_those_that_the_configuration_asks_for_else_the_latest(tmp_path, config, served):
    for version in ("1", "2", "3", "warmup", "configs"):
        (tmp_path / version).mkdir()
    assert {path.name for path in served_versions(tmp_path, config)} == served
