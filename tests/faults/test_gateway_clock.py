"""The machine's clock is set while the gateway runs: no episode ends of it, none is lost, none comes twice."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.history import stored_in
from tests.support.scripted_gateway import MODEL, scripted_gateway
from tests.support.scripted_model import publish_scripted
from tests.support.triton_server import running_triton

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR_S, YEAR_S = 3600, 365 * 86_400
GAP_S = 60


@pytest.fixture
def no_segments_left() -> Iterator[None]:
    """libfaketime leaves its segments behind where a process is killed."""
    segments = Path("/dev/shm")
    before = {*segments.glob("*faketime_*")}
    yield
    for path in {*segments.glob("*faketime_*")} - before:
        path.unlink()


@pytest.mark.slow
@pytest.mark.usefixtures("no_segments_left")
@pytest.mark.skipif(not FAKETIME, reason="libfaketime isn't installed")
def test_a_stepped_clock_ends_loses_and_doubles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    offset = tmp_path / "offset"
    offset.write_text("+0")
    with (
        scripted_gateway(tmp_path / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url),
    ):
        with monkeypatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(FAKETIME[-1]))
            patch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
            patch.setenv("FAKETIME_NO_CACHE", "1")
            patch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            gateway.start(fresh=True)
        gateway.wait_ready()
        camera = gateway.new_camera(GAP_S)
        lasting, *passing = [(camera, f"object{number}") for number in range(5)]
        for step_s, episode in zip((HOUR_S, -HOUR_S, YEAR_S, -YEAR_S), passing, strict=True):
            gateway.show_until_acknowledged(lasting, timed=False)
            offset.write_text(f"{step_s:+d}")
            time.sleep(0.6)  # two frames of the camera's rate
            told = gateway.request("GET", "/api/v1/health")[1]["timestamp"]
            gateway.show_until_acknowledged(episode, timed=False)
            assert not told.startswith(time.strftime("%Y-%m-%dT%H", time.gmtime())), "the clock didn't step"
        wrong = gateway.settle(lambda: stored_in(gateway.data_dir / "ruth.db"), timed=False)
        violations = gateway.request("GET", "/api/v1/violations")[1]["items"]

    assert wrong == []
    assert [each["ended_at"] for each in violations] == [None] * 5
