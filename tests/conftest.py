"""Fixtures that every folder of tests may use."""

import fcntl
import os
from pathlib import Path

import hypothesis
import pytest

from converters.cli import main as convert

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
    """A model repository with YOLOX-nano published as `people`; converted once for all workers of a run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "people_repository"
    with (shared / "people_repository.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            model = data_dir / "models" / "yolox_nano_416.onnx"
            assert convert(["onnx", str(model), "--name", "people", "--repository", str(folder)]) == 0
    return folder
