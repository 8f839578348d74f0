"""Fixtures that every folder of tests may use."""

import os
from pathlib import Path

import pytest

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
