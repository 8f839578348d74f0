"""`ruth-convert` from a file to a model that a real Triton serves, and what it does with what can't be used."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from converters.cli import main
from converters.manifest import MANIFEST_FILE
from converters.verbs import VERBS
from tests.support.tiny_yolos import TinyYolo
from tests.support.tiny_yolox import saved, tiny_yolox
from tests.support.triton_models import CENSUS_TENSORS, publish


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its content, without the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.fixture
def convert(tmp_path, capsys):
    def run(*arguments):
        status = main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def tiny(tmp_path):
    return saved(tiny_yolox(), tmp_path / "tiny.onnx")


def test_a_model_goes_from_file_to_repository_and_every_verb_agrees(convert, data_dir, tmp_path):
    repository = tmp_path / "models"
    model = data_dir / "models/yolox_nano_416.onnx"
    arguments = ("onnx", model, "--name", "people", "--repository", repository, "--pictures", data_dir / "images")
    status, result = convert(*arguments, "--licence", "Apache-2.0")
    assert (status, result["outcome"], result["version"]) == (0, "published", 1)
    assert result["parity"]["same_pixels"]["unmatched"] == 0
    assert result["triton"]["rows"] > 24
    manifest = json.loads((repository / "people/1" / MANIFEST_FILE).read_text())
    assert manifest["source"]["licence"] == "Apache-2.0"
    assert manifest["model_sha256"] == result["model_sha256"]
    assert manifest["pictures"]["synthetic"] is False
    before = snapshot(repository)
    assert convert(*arguments)[1]["outcome"] == "up to date"
    assert snapshot(repository) == before
    assert convert("list", "--repository", repository)[1]["models"][0]["canvas"] == "416 x 416"
    status, result = convert("verify", "people", "--repository", repository)
    assert status == 0, result
    assert convert("lint", repository) == (0, {"models": [{"name": "people", "sound": True, "findings": []}]})
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_dry_run_publishes_nothing_another_threshold_a_new_version_and_a_changed_file_is_found(
    convert, tiny, two_versions, tmp_path
):
    repository = shutil.copytree(two_versions, tmp_path / "models")
    arguments = ("onnx", tiny, "--name", "tiny", "--repository", repository, "--instances", "1")
    before = snapshot(repository)
    status, result = convert(*arguments, "--score-threshold", "0.6", "--dry-run")
    assert (status, result["outcome"], result["version"]) == (0, "dry run", 3)
    assert snapshot(repository) == before
    assert convert(*arguments, "--score-threshold", "0.6")[1]["version"] == 3
    assert {name: content for name, content in snapshot(repository).items() if "/1/m" in name}.items() <= before.items()
    served = repository / "tiny/3/model.onnx"
    served.write_bytes(served.read_bytes() + b"\x00")
    assert convert("verify", "tiny", "--repository", repository)[0] == 1
    status, result = convert("lint", repository)
    assert status == 1
    problems = [finding["problem"] for finding in result["models"][0]["findings"]]
    assert any("was changed after it was published" in problem for problem in problems)


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "of no family"])
def test_what_can_not_be_used_ends_with_1_and_leaves_the_repository_as_it_was(convert, data_dir, tmp_path, kind):
    repository = tmp_path / "models"
    (repository / "other/1").mkdir(parents=True)
    path = tmp_path / "model.onnx"
    whole = (data_dir / "models/yolox_nano_416.onnx").read_bytes()
    sketch = TinyYolo()
    sketch.metadata = {"task": "segment"}
    contents = {"empty": b"", "text": b"not a model\n" * 99, "truncated": whole[: len(whole) // 2]}
    path.write_bytes(contents.get(kind, sketch.columns().SerializeToString()))
    before = sorted(tmp_path.rglob("*"))
    status, result = convert("onnx", path, "--name", "people", "--repository", repository)
    assert (status, result["exit_status"]) == (1, 1)
    assert "model.onnx" in result["error"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["onnx", "x.onnx"],
        ["onnx", "x.onnx", "--name", "x", "--target", "tpu"],
        ["onnx", "x.onnx", "--name", "x", "--instances", "0"],
        ["onnx", "x.onnx", "--name", "x", "--threads", "two"],
        ["builtin", "cats"],
        ["frobnicate"],
        [],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments, capsys):
    assert main([*arguments, "--json"]) == 2
    said = capsys.readouterr()
    assert "usage:" in said.err
    assert json.loads(said.out)["exit_status"] == 2


def test_an_option_that_is_cut_short_is_wrong_usage(capsys):
    assert main(["list", "--js"]) == 2
    assert "unrecognized arguments: --js" in capsys.readouterr().err


@pytest.mark.parametrize("wanted", ["", "1"], ids=["one line", "with the traceback"])
def test_a_bug_is_one_message_that_says_so_and_its_traceback_is_there_for_the_asking(monkeypatch, capsys, wanted):
    def broken(*_arguments):
        raise IndexError("list index out of range\nmore of it")

    monkeypatch.setattr(VERBS["targets"], "run", broken)
    monkeypatch.setenv("RUTH_CONVERT_TRACEBACK", wanted)
    assert main(["targets", "--json"]) == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["exit_status"] == 1
    assert told["error"].startswith("IndexError: list index out of range; this is a bug of ruth-convert: report it")
    assert ("Traceback" in said.err) is bool(wanted)
    assert len(said.err.splitlines()) == 1 or wanted


@pytest.mark.parametrize(
    "option",
    [
        ("--name", "Bad Name"),
        ("--family", "yolo99"),
        ("--score-threshold", "1.5"),
        ("--score-threshold", "nan"),
        ("--instances", "1000"),
        ("--max-batch-size", "100000000000"),
    ],
)
def test_a_value_that_makes_no_sense_ends_with_2(convert, tiny, tmp_path, option):
    status, result = convert("onnx", tiny, "--name", "tiny", "--repository", tmp_path / "models", *option)
    assert (status, result["exit_status"]) == (2, 2)
    assert not (tmp_path / "models").exists()


def test_without_a_triton_it_ends_with_3_and_names_what_to_run(convert, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("RUTH_TRITON_HOME", str(tmp_path / "nowhere"))
    status, result = convert("onnx", tiny, "--name", "tiny", "--repository", tmp_path / "models")
    assert status == 3
    assert "ruth-triton install" in result["error"]
    assert snapshot(tmp_path / "models") == {}


def test_a_repository_that_is_a_file_is_refused_by_every_verb(convert, tiny):
    for arguments in (("onnx", tiny, "--name", "x", "--repository"), ("list", "--repository"), ("lint",)):
        status, result = convert(*arguments, tiny)
        assert (status, result["error"]) == (1, f"{tiny} is not a folder; give a model repository")


def test_a_disk_that_is_full_ends_with_one_message_and_nothing_half_written(convert, tiny, tmp_path, monkeypatch):
    def full(path, *_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    repository = tmp_path / "models"
    monkeypatch.setattr(Path, "write_bytes", full)  # the probe beside the model; tests of the repository cover the rest
    status, result = convert("onnx", tiny, "--name", "tiny", "--repository", repository)
    assert status == 1
    assert "No space left on device" in result["error"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.onnx"]
    assert snapshot(repository) == {}


def test_what_triton_says_of_a_model_is_one_line_for_a_person(convert, tmp_path):
    publish(tmp_path, "broken", b"no model", "max_batch_size: 8\n" + CENSUS_TENSORS)
    status, result = convert("lint", tmp_path)
    (problem,) = (f["problem"] for f in result["models"][0]["findings"] if "broken/1/model.onnx" in f["problem"])
    assert status == 1
    assert "\n" not in problem
    assert "{" not in problem


def test_what_lies_in_the_current_folder_is_not_imported(tiny, tmp_path):
    for name in ("onnx.py", "numpy.py", "converters.py"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    command = [Path(sys.executable).with_name("ruth-convert"), "inspect", tiny.name]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_bug(tiny):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "converters", "inspect", tiny]
    done = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_onnx_runtime_gives_the_machine_no_id_and_reports_nothing(tiny, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    command = [sys.executable, "-m", "converters", "onnx", tiny, "--name", "tiny", "--repository", tmp_path / "models"]
    subprocess.run(command, env={**environment, "HOME": str(home)}, check=True, capture_output=True)
    assert list(home.iterdir()) == []


def test_inspect_takes_the_size_that_it_asks_for(convert, tmp_path):
    sketch = TinyYolo()
    sketch.picture = sketch.tensor("images", [1, 3, "height", "width"])
    path = saved(sketch.columns(), tmp_path / "any.onnx")
    assert convert("inspect", path)[1]["family"] is None
    assert convert("inspect", path, "--size", "64x96")[1]["family"] == "yolov8"


def test_inspect_says_once_what_is_wrong_for_every_family(tmp_path, capsys):
    sketch = TinyYolo()
    sketch.picture = sketch.tensor("images", [1, 3, "height", "width"])
    assert main(["inspect", str(saved(sketch.columns(), tmp_path / "any.onnx"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("choose one with --size" in line for line in lines) == 1
    assert any(line.startswith("is not      yolov5, yolox_decoded, yolov8") for line in lines)


def test_inspect_says_what_a_file_is_and_why(convert, data_dir):
    status, result = convert("inspect", data_dir / "models/yolox_nano_416.onnx")
    assert (status, result["family"], result["opset"]) == (0, "yolox", 11)
    status, result = convert("inspect", data_dir / "models/vww_person_96_float.onnx")
    assert (status, result["family"]) == (0, "classifier")
    assert not result["families"]["yolox"]["fits"]


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_a_conversion_stopped_while_triton_loads_publishes_nothing_and_leaves_no_server(tiny, tmp_path, signum, status):
    repository = tmp_path / "models"
    process = subprocess.Popen(
        [sys.executable, "-m", "converters", "onnx", tiny, "--name", "tiny", "--repository", repository],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "load in a real Triton" in line:
            break
    server = first_child(process.pid)
    process.send_signal(signum)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == status
    assert snapshot(repository) == {}
    gone_within(server, 30.0)
    if signum is not signal.SIGKILL:
        assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.onnx"]


def first_child(pid: int, timeout_s: float = 10.0) -> int:
    """The first child of a process, waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("no child was started")


def gone_within(pid: int, timeout_s: float) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.05)
    assert os.getpid() != pid


def test_people_read_the_result_on_stdout_and_the_progress_on_stderr(tiny, tmp_path, capsys):
    assert main(["inspect", str(tiny)]) == 0
    assert "is          yolox:" in capsys.readouterr().out
    assert main(["onnx", str(tmp_path / "absent.onnx"), "--name", "x", "--repository", str(tmp_path / "models")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "s  read absent.onnx" in said.err
    assert "absent.onnx can't be read: No such file or directory; give the path of an .onnx file" in said.err


@pytest.mark.parametrize(
    "verb",
    [
        ["verify"],
        ["rollback"],
        ["diff", "1", "2"],
        ["evaluate", "--annotations", "coco.json", "--images", "."],
        ["tune", "--latency-limit-ms", "10"],
        ["tensorrt"],
    ],
    ids=lambda verb: verb[0],
)
@pytest.mark.parametrize("name", ["../people", "a/b", "People", ""])
def test_a_name_that_could_be_a_path_ends_with_2_whatever_is_to_be_done(convert, tmp_path, verb, name):
    status, result = convert(verb[0], name, *verb[1:], "--repository", tmp_path)
    assert status == 2
    assert "can't be a model name" in result["error"]


@pytest.mark.parametrize(
    "given", [["--precision", "fp16", "--calibration", "clip.mp4"], ["--min-f1", "0.9"], ["--ranges", "entropy"]]
)
def test_a_raw_model_has_no_boxes_to_judge_a_precision_by(convert, tiny, tmp_path, given):
    status, result = convert(
        "onnx", tiny, "--name", "raw", "--task", "raw", *given, "--repository", tmp_path / "models"
    )
    assert status == 2
    assert "--task raw finds none: leave out --precision" in result["error"]


def test_a_dry_run_and_a_failure_leave_no_folder_where_there_was_none(convert, tiny, tmp_path):
    arguments = ["onnx", tiny, "--name", "tiny", "--repository", tmp_path / "new" / "models", "--max-batch-size", "1"]
    status, result = convert(*arguments, "--dry-run")
    assert (status, result["outcome"]) == (0, "dry run")
    assert not (tmp_path / "new").exists()
