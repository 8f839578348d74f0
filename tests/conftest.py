"""Fixtures that every folder of tests may use."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from converters.cli import main as convert
from tests.support.tiny_yolox import saved, tiny_yolox

# How long an example takes is no property of the code: machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real clips, photographs and models; where it is absent a test is skipped, and fails in CI."""
    folder = Path(os.environ.get("RUTH_TEST_DATA", BESIDE_THE_CHECKOUT))
    if folder.is_dir():
        return folder
    reason = f"no test data in {folder}; set RUTH_TEST_DATA to the folder that holds images/, video/ and models/"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def people_repository(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with YOLOX-nano published as `people`; to be read only."""
    model = data_dir / "models" / "yolox_nano_416.onnx"

    def publish(folder: Path) -> None:
        assert convert(["onnx", str(model), "--name", "people", "--repository", str(folder)]) == 0

    return _made_once(tmp_path_factory, "people_repository", publish)


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with two versions of a tiny YOLOX as `tiny`, the first with a warm-up frame; to be copied."""

    def publish(folder: Path) -> None:
        model = saved(tiny_yolox(), folder.with_suffix(".onnx"))
        common = ["onnx", str(model), "--name", "tiny", "--repository", str(folder), "--instances", "1"]
        assert convert([*common, "--warmup"]) == 0
        assert convert([*common, "--score-threshold", "0.5"]) == 0

    return _made_once(tmp_path_factory, "two_versions", publish)


def _made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker of a run to need it makes for all."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            make(shared / name)
    return shared / name
