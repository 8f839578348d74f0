"""Hundreds of broken and hostile model files: each is refused with a reason or converted soundly, without harm."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from converters.published import list_models
from tests.support.hostile.corpus import write_corpus

CHECKOUT = Path(__file__).resolve().parents[2]
MAX_CPU_S = 5.0
MAX_BYTES = 10**9
SAMPLE_EVERY = 45


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("hostile") / "corpus")


def converted(files, repository):
    """What the command line made of each file."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.convert_each", repository],
        input="".join(f"{path}\n" for path in files),
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=True,
    )
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert [result["file"] for result in results] == [path.name for path in files]
    return results


def assert_harmless(results, repository):
    for result in results:
        answer = json.loads(result["out"])
        assert result["status"] in (0, 1), result
        assert result["cpu_s"] <= MAX_CPU_S, result
        assert result["peak_bytes"] <= MAX_BYTES, result
        if result["status"] == 1:
            assert answer["exit_status"] == 1
            assert len(answer["error"]) > 20
            assert all(character.isprintable() or character == "\n" for character in answer["error"]), result
    published = {Path(result["file"]).stem for result in results if result["status"] == 0}
    assert {model.name for model in list_models(repository) if not model.problem} == published
    assert not list(repository.parent.glob(".*staging"))


def test_a_sample_of_broken_and_hostile_files_does_no_harm(corpus, tmp_path):
    special = [path for path in corpus if path.stem.startswith(("bomb_doubling", "bomb_canvas_6", "external_symlink"))]
    results = converted([*corpus[5::SAMPLE_EVERY], *special], tmp_path / "models")
    assert_harmless(results, tmp_path / "models")
    assert all(result["status"] == 1 for result in results[-len(special) :])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_broken_or_hostile_file_is_refused_or_converted_soundly(corpus, tmp_path):
    assert len(corpus) >= 300
    results = converted(corpus, tmp_path / "models")
    assert_harmless(results, tmp_path / "models")
    never = ("external", "bomb", "format", "cut")
    refused = [
        result for result in results if result["file"].startswith(never) and not result["file"].startswith("cut_39")
    ]
    assert all(result["status"] == 1 for result in refused)
    outside = [result for result in results if result["file"].startswith("external")]
    (beside,) = (result for result in outside if result["file"] == "external_beside.onnx")
    outside.remove(beside)
    assert "is of no family" in json.loads(beside["out"])["error"]
    assert all("keeps weights in other files" in json.loads(result["out"])["error"] for result in outside)
