"""From a network of PyTorch to a published model; what can't be exported ends as a message."""

import importlib.util
import json
import os
import pickle
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converters.cli import main
from converters.errors import ModelError, UsageError
from converters.pytorch_example import read_example

CHECKOUT = Path(__file__).resolve().parents[2]
TORCH = CHECKOUT / ".local" / "torch"
EXAMPLE = ("--example", "1x3x64x96")


@pytest.fixture
def convert(monkeypatch, capsys):
    """Runs the command line in the checkout, where the networks are importable."""
    monkeypatch.chdir(CHECKOUT)

    def run(*arguments):
        status = main([*map(str, arguments), "--json"])
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def with_torch(monkeypatch):
    """Puts PyTorch on the path of the converter's child; where it is absent a test is skipped.

    In CI it fails instead, unless the locked build is of another Python or platform, or pip can't see it anywhere.
    """
    if importlib.util.find_spec("torch") is None:
        if not TORCH.is_dir():
            log = TORCH.with_suffix(".log")
            unseen = log.is_file() and "No matching distribution found for torch==" in log.read_text()
            locked = sys.version_info[:2] == (3, 11) and (sys.platform, platform.machine()) == ("linux", "x86_64")
            if locked and not unseen:
                reason = "no PyTorch; scripts/test installs it"
                pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
            pytest.skip(
                "the build of PyTorch in locks/torch.txt is not to be had for this Python and platform, or here"
            )
        monkeypatch.setenv("PYTHONPATH", str(TORCH))


def network(name):
    return f"tests.support.torch_networks:{name}"


@pytest.mark.parametrize("content", ["pickle", "checkpoint", "script"])
@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_a_checkpoint_is_refused_whatever_it_is_called(convert, tmp_path, content, suffix):
    path = tmp_path / f"best{suffix}"
    if content == "pickle":
        path.write_bytes(pickle.dumps({"weights": [1.0]}))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("best/data.pkl", pickle.dumps({"weights": [1.0]}))
            if content == "script":
                archive.writestr("best/constants.pkl", b"")
    status, result = convert("inspect", path)
    assert status == 1
    assert "runs whatever code is in it" in result["error"]
    assert "yolo export" in result["error"]


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is in this environment")
def test_without_pytorch_the_extra_is_named(convert):
    status, result = convert("inspect", network("classifier"), *EXAMPLE)
    assert status == 3
    assert "the package torch is not installed: pip install 'ruth-ai[convert,torch]'" in result["error"]


def test_a_factory_needs_an_example_and_a_file_takes_none(convert, tmp_path):
    status, result = convert("inspect", network("classifier"))
    assert (status, "add --example" in result["error"]) == (2, True)
    status, result = convert("inspect", tmp_path / "x.onnx", *EXAMPLE)
    assert (status, "says itself what it takes" in result["error"]) == (2, True)


def test_an_example_is_a_shape_an_array_several_arrays_or_a_picture(tmp_path, data_dir):
    (shaped,) = read_example("1x3x4x6:uint8")
    assert (shaped.shape, shaped.dtype) == ((1, 3, 4, 6), np.uint8)
    np.save(tmp_path / "one.npy", np.zeros((2, 3), np.float32))
    np.savez(tmp_path / "two.npz", a=np.zeros((1, 3), np.float32), b=np.ones((1, 5), np.int64))
    assert [value.shape for value in read_example(str(tmp_path / "one.npy"))] == [(2, 3)]
    assert [value.shape for value in read_example(str(tmp_path / "two.npz"))] == [(1, 3), (1, 5)]
    (picture,) = read_example(str(next((data_dir / "images").glob("*.jpg"))))
    assert picture.shape[:2] == (1, 3)
    assert 0 <= picture.min() < picture.max() <= 1


@pytest.mark.parametrize("text", ["1x3x0x4", "99999x99999x9", "1x3x4x4:complex64", "cat", "-1x3"])
def test_what_is_no_example_is_wrong_usage(text):
    with pytest.raises(UsageError, match=r"--example .*"):
        read_example(text)


def test_an_example_that_is_pickled_or_missing_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("objects.npy", "missing.npz"):
        with pytest.raises(ModelError, match="can't be read"):
            read_example(str(tmp_path / name))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "family"), [("yolox_like", "yolox"), ("yolov8_like", "yolov8"), ("classifier", "classifier")]
)
def test_a_factory_is_exported_recognised_and_published(convert, with_torch, data_dir, tmp_path, name, family):
    arguments = ("onnx", network(name), *EXAMPLE, "--name", name, "--repository", tmp_path / "models")
    status, result = convert(*arguments, "--pictures", data_dir / "images")
    assert (status, result.get("family")) == (0, family), result
    assert result["parity"]["same_pixels"]["unmatched"] == 0
    assert result["parity"]["same_pixels"]["rows"] > 0
    text = (tmp_path / "models" / name / "1/manifest.json").read_text()
    details = json.loads(text)["source"]["details"]
    assert details["factory"] == network(name)
    assert details["pytorch"].startswith("2.")
    assert float(details["max_abs_difference_from_pytorch"]) < 0.02
    assert str(CHECKOUT).encode() not in (tmp_path / "models" / name / "1/model.onnx").read_bytes()
    if name == "classifier":
        assert convert(*arguments, "--pictures", data_dir / "images")[1]["outcome"] == "up to date"


SAVE = """
import sys, torch
sys.path.append(sys.argv[4])
from tests.support import torch_networks
sys.path.remove(sys.argv[4])  # its folder `triton` would be taken for the compiler of that name
network, batch = getattr(torch_networks, sys.argv[1])(), int(sys.argv[3])
free = ({0: torch.export.Dim.DYNAMIC},) if batch > 1 else None
torch.export.save(torch.export.export(network, (torch.zeros(batch, 3, 64, 96),), dynamic_shapes=free), sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "batch", "family"), [("yolox_like", 1, "yolox"), ("yolov8_like", 2, "yolov8")])
def test_a_saved_program_is_converted_as_a_file(convert, with_torch, tmp_path, name, batch, family):
    path = tmp_path / "model.pt2"
    command = [sys.executable, "-P", "-c", SAVE, name, path, str(batch), CHECKOUT]
    subprocess.run(command, check=True, cwd=tmp_path)
    status, result = convert("onnx", path, "--name", "saved", "--repository", tmp_path / "models")
    assert (status, result.get("family")) == (0, family), result
    source = json.loads((tmp_path / "models/saved/1/manifest.json").read_text())["source"]
    assert (source["name"], source["details"]["opset"]) == ("model.pt2", "20")
    status, result = convert("inspect", path)
    assert (status, result["family"], result["sha256"]) == (0, family, source["sha256"])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("model", "example", "why"),
    [
        ("no_such.module:make", "1x3x64x96", "there is no module 'no_such'"),
        (network("nothing"), "1x3x64x96", "has no function 'nothing'; it has"),
        (network("broken"), "1x3x64x96", "raised ValueError: weights.pt is not here (torch_networks.py, line"),
        (network("state"), "1x3x64x96", "returned OrderedDict, not a torch.nn.Module"),
        (network("classifier"), "1x7x64x96", "can't take an example of 1x7x64x96 float32: RuntimeError"),
        (network("undecided"), "1x3x64x96", "(torch_networks.py, line"),
    ],
)
def test_what_can_not_be_exported_is_refused_with_the_reason(convert, with_torch, model, example, why):
    status, result = convert("inspect", model, "--example", example)
    assert status == 1
    assert why in result["error"]
