"""Versions in service: rollback, diff, lint's findings, and a running Triton that has the last word."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
from tritonclient.grpc import InferenceServerClient

from converters import plan_store, triton_config
from converters.agreement import ENOUGH_BOXES
from converters.cli import main
from converters.errors import ModelError
from converters.manifest import MANIFEST_FILE
from converters.repository import Repository
from converters.switch import load_or_restore
from converters.tune import Setting, with_setting
from tests.support.tiny_yolox import saved, tiny_yolox
from tests.support.triton_server import running_triton


@pytest.fixture
def convert(capsys):
    def run(*arguments):
        status = main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def repository(two_versions, tmp_path):
    return shutil.copytree(two_versions, tmp_path / "models")


def test_rolling_back_serves_the_version_before_as_it_was_and_forward_again(convert, repository):
    first, second = Repository(repository).config_of("tiny", 1), Repository(repository).config("tiny")
    assert "batch_of_8" in first
    status, result = convert("rollback", "tiny", "--repository", repository)
    assert (status, result["version"], result["before"]) == (0, 1, 2)
    assert Repository(repository).config("tiny") == first
    assert Repository(repository).served_version("tiny") == 1
    assert convert("rollback", "tiny", "--repository", repository)[0] == 1
    assert convert("rollback", "tiny", "--to", "1", "--repository", repository)[0] == 2
    assert convert("rollback", "tiny", "--to", "2", "--repository", repository)[0] == 0
    assert Repository(repository).config("tiny") == second


def test_a_dry_run_of_a_rollback_says_what_would_be_served_and_changes_nothing(convert, repository):
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    status, result = convert("rollback", "tiny", "--dry-run", "--repository", repository)
    assert (status, result["version"], result["before"], result["dry_run"]) == (0, 1, 2, True)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before
    assert convert("rollback", "tiny", "--dry-run", "--to", "7", "--repository", repository)[0] == 1


def test_a_version_with_one_flipped_byte_is_not_rolled_back_to(convert, repository):
    model = repository / "tiny/1/model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    status, result = convert("rollback", "tiny", "--repository", repository)
    assert status == 1
    assert "was changed after it was published" in result["error"]
    assert Repository(repository).served_version("tiny") == 2


def test_a_difference_is_told_by_place_and_field(convert, repository):
    status, result = convert("diff", "tiny", 1, 2, "--repository", repository)
    changes = {(change["where"], change["field"]): (change["before"], change["after"]) for change in result["changes"]}
    assert status == 0
    assert changes["manifest.json", "options.score_threshold"] == (0.3, 0.5)
    assert changes["config.pbtxt", "parameters.ruth.score_threshold.string_value"] == ("0.3", "0.5")
    assert ("files", "model.onnx") in changes
    assert convert("diff", "tiny", 2, 2, "--repository", repository)[1]["changes"] == []
    assert convert("diff", "tiny", 1, 7, "--repository", repository)[0] == 1


@pytest.mark.slow
def test_a_running_triton_serves_a_published_version_and_keeps_the_old_one_when_it_can_not(
    convert, repository, tmp_path
):
    tiny = saved(tiny_yolox(seed=2), tmp_path / "other.onnx")
    with running_triton(repository, load=["tiny"], model_control="explicit", no_auto_complete=True) as triton:
        arguments = ("onnx", tiny, "--name", "tiny", "--repository", repository, "--instances", "1")
        status, result = convert(*arguments, "--server", triton.grpc_url)
        assert (status, result["version"]) == (0, 3), result
        status, result = convert("rollback", "tiny", "--repository", repository, "--server", triton.grpc_url)
        assert (status, result["version"]) == (0, 2), result
        elsewhere = shutil.copytree(repository, tmp_path / "elsewhere")
        before = Repository(elsewhere).config("tiny")
        status, result = convert("rollback", "tiny", "--to", 3, "--repository", elsewhere, "--server", triton.grpc_url)
        assert status == 1
        assert "does it serve this repository?" in result["error"]
        assert Repository(elsewhere).config("tiny") == before
        status, result = convert(
            "onnx", tiny, "--name", "new", "--repository", elsewhere, "--instances", "1", "--server", triton.grpc_url
        )
        assert (status, (elsewhere / "new").exists()) == (1, False), result
    assert convert("rollback", "tiny", "--repository", repository, "--server", triton.grpc_url)[0] == 3
    assert Repository(repository).served_version("tiny") == 2


def test_a_running_triton_that_follows_a_variant_of_its_own_is_rolled_back_too(convert, repository):
    """The variant stands in for plans: it names the served version, and there is no other for the one before."""
    served = (repository / "tiny/config.pbtxt").read_text()
    plan_store.write_configs(repository / "tiny", {"cuda.pbtxt": served})
    options = {"model_control": "explicit", "model_config_name": "cuda", "no_auto_complete": True}
    with running_triton(repository, load=["tiny"], **options) as triton:
        status, result = convert("rollback", "tiny", "--repository", repository, "--server", triton.grpc_url)
    assert (status, result["version"]) == (0, 1), result


@pytest.mark.slow
def test_what_is_published_already_is_loaded_by_a_server_that_serves_another_version(convert, repository, tmp_path):
    tiny = saved(tiny_yolox(), tmp_path / "tiny.onnx")
    arguments = ("onnx", tiny, "--name", "tiny", "--repository", repository, "--instances", "1", "--warmup")
    with running_triton(repository, load=["tiny"], model_control="explicit", no_auto_complete=True) as triton:
        assert convert("rollback", "tiny", "--repository", repository)[0] == 0
        assert convert(*arguments)[1]["outcome"] == "up to date"
        with InferenceServerClient(triton.grpc_url) as client:
            assert not client.is_model_ready("tiny", "1")
            status, result = convert(*arguments, "--server", triton.grpc_url)
            assert (status, result["outcome"], result["version"]) == (0, "up to date", 1), result
            assert client.is_model_ready("tiny", "1")
    assert convert(*arguments, "--server", triton.grpc_url)[0] == 3


def test_the_same_command_leaves_what_tune_made_of_the_configuration(convert, repository, tmp_path):
    tiny = saved(tiny_yolox(), tmp_path / "tiny.onnx")
    path = repository / "tiny/config.pbtxt"
    setting = Setting(max_batch_size=4, instances=2, threads=1, max_queue_delay_microseconds=0)
    path.write_text(triton_config.text_of(with_setting(triton_config.parse(path.read_text()), setting)))
    before = path.read_bytes()
    arguments = ("onnx", tiny, "--name", "tiny", "--repository", repository, "--instances", "1")
    status, result = convert(*arguments, "--score-threshold", "0.5")
    assert (status, result["outcome"], result["version"]) == (0, "up to date", 2), result
    assert path.read_bytes() == before


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "field", "problem"),
    [
        ("config.pbtxt", 'name: "tiny"', "name: {", "", "can't be parsed"),
        ("config.pbtxt", 'name: "tiny"', 'name: "other"', "name", "the folder 'tiny'"),
        ("config.pbtxt", "dims: 96", "dims: 1\n  dims: 96", "input frames.dims", "batch axis is left out"),
        ("config.pbtxt", "dims: 100", "dims: 1\n  dims: 100", "output detections.dims", "batch axis is left out"),
        ("config.pbtxt", "TYPE_INT32", "TYPE_INT64", "output num_detections", "TYPE_INT32"),
        ("config.pbtxt", "versions: 2", "versions: 9", "version_policy", "version 9, which is not there"),
        ("config.pbtxt", '"top_left"', '"left"', "parameters", "does not meet contract"),
        ("config.pbtxt", '"detect"', '"guess"', "parameters", "does not meet contract"),
        ("config.pbtxt", "max_batch_size: 8", "", "max_batch_size", "at least 1"),
        ("2/manifest.json", '"model_sha256": "', '"model_sha256": "0', "", "was changed after it was published"),
        ("2/manifest.json", "{", "[", "", "can't be read"),
        ("2/manifest.json", "{", "[" * 100_000, "", "can't be read"),
    ],
)
def test_lint_names_file_and_field(convert, repository, file, old, new, field, problem):
    edited(repository / "tiny" / file, old, new)
    status, result = convert("lint", repository)
    assert (status, result["models"][0]["sound"]) == (1, False)
    findings = result["models"][0]["findings"]
    assert any(found["field"] == field and problem in found["problem"] for found in findings), findings


def test_lint_finds_a_missing_version_folder_a_missing_frame_and_a_plan_that_nobody_knows(convert, repository):
    shutil.rmtree(repository / "tiny/warmup")
    (repository / "tiny/2/model_sm89.plan").write_bytes(b"plan")
    convert("rollback", "tiny", "--repository", repository)
    (repository / "tiny/1/model.plan").write_bytes(b"plan")
    (repository / "empty").mkdir()
    (repository / "empty/config.pbtxt").write_text('name: "empty" backend: "onnxruntime"')
    status, result = convert("lint", repository)
    found = {(model["name"], finding["file"]) for model in result["models"] for finding in model["findings"]}
    assert status == 1
    assert {("empty", "1"), ("tiny", "1/model.plan"), ("tiny", "config.pbtxt")} <= found


def test_the_manifest_tells_of_the_warm_up(repository):
    serving = json.loads((repository / "tiny/1" / MANIFEST_FILE).read_text())["serving"]
    assert (repository / "tiny/warmup" / serving["warmup_file"]).stat().st_size == 64 * 96 * 3 // 2


def test_what_a_running_triton_finds_is_compared_with_what_was_published(convert, repository, tmp_path):
    asked = ("verify", "tiny", "--repository", repository, "--server")
    with running_triton(repository, load=["tiny"], no_auto_complete=True) as triton:
        status, result = convert(*asked, triton.grpc_url)
        assert (status, result["agreement"]["f1"], result["agreement"]["missed"]) == (0, 1, 0), result
        assert result["agreement"]["matched"] >= 2 * ENOUGH_BOXES
        assert convert("rollback", "tiny", "--repository", repository)[0] == 0
        status, result = convert(*asked, triton.grpc_url)
        assert (status, "does not serve tiny version 1" in result["error"]) == (1, True)
    status, result = convert(*asked, triton.grpc_url)
    assert (status, "no Triton answers at" in result["error"]) == (3, True)


def test_of_several_versions_in_service_the_published_one_is_asked(convert, repository, tmp_path):
    assert convert("rollback", "tiny", "--repository", repository)[0] == 0
    served = shutil.copytree(repository, tmp_path / "served")
    edited(served / "tiny/config.pbtxt", "versions: 1", "versions: 1 versions: 2")
    with running_triton(served, load=["tiny"], no_auto_complete=True) as triton:
        status, result = convert("verify", "tiny", "--repository", repository, "--server", triton.grpc_url)
    assert (status, result.get("agreement", {}).get("f1")) == (0, 1), result


def test_a_server_that_can_not_even_unload_does_not_hide_why_it_could_not_load(repository):
    class Broken:
        def load(self, _name, _version):
            raise ModelError("no memory left on the GPU")

        def unload(self, _name):
            raise ModelError("connection refused")

    stage = SimpleNamespace(repository=Repository(repository))
    with pytest.raises(ModelError, match=r"(?s)no memory left.*not published, but .* still \(connection refused\)"):
        load_or_restore(stage, "tiny", 1, None, Broken())


def test_a_running_triton_that_finds_something_else_is_told_of(convert, repository, tmp_path):
    """As from a bad plan: configuration and hash are those published, and the network answers otherwise."""
    served = shutil.copytree(repository, tmp_path / "served")
    saved_elsewhere = saved(tiny_yolox(seed=2), tmp_path / "other.onnx")
    assert (
        convert("onnx", saved_elsewhere, "--name", "other", "--repository", served, "--score-threshold", "0.3")[0] == 0
    )
    shutil.copy(served / "other/1/model.onnx", served / "tiny/2/model.onnx")
    (served / "tiny/2/manifest.json").unlink()
    asked = ("verify", "tiny", "--repository", repository, "--server")
    with running_triton(served, load=["tiny"], no_auto_complete=True) as triton:
        status, result = convert(*asked, triton.grpc_url)
        assert (status, "answers otherwise than ONNX Runtime: F1" in result["error"]) == (1, True)
        assert convert(*asked, triton.grpc_url, "--min-f1", "0")[0] == 0
    config = served / "tiny/config.pbtxt"
    config.write_text(re.sub(r'("ruth.model_sha256"[^"]*string_value: ")[0-9a-f]', r"\1_", config.read_text()))
    with running_triton(served, load=["tiny"], no_auto_complete=True) as triton:
        status, result = convert(*asked, triton.grpc_url)
        assert (status, "serves another tiny" in result["error"]) == (1, True)
