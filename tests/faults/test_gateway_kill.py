"""kill -9 of the gateway between any two steps: nothing acknowledged is lost, nothing is there twice."""

import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.failpoints import FAILPOINTS
from tests.support.fault_scale import SCALE
from tests.support.history import stored_in
from tests.support.scripted_gateway import MODEL, ScriptedGateway, scripted_gateway
from tests.support.scripted_model import publish_scripted
from tests.support.triton_server import running_triton

SEED = int(os.environ.get("RUTH_FAULTS_SEED", "20260301"))
KILLS = round(200 * SCALE)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    publish_scripted(folder, MODEL)
    return folder


@pytest.fixture
def gateway(repository: Path, tmp_path: Path) -> Iterator[ScriptedGateway]:
    with (
        scripted_gateway(tmp_path / "gateway") as gateway,
        running_triton(repository, gateway=gateway.url),
    ):
        yield gateway


def seconds_to_ready(gateway: ScriptedGateway, number: int, point: str = "", passing: int = 1) -> float:
    """Start for the n-th time; every tenth start is that of a new interpreter, the others have imported everything."""
    began_s = time.monotonic()
    gateway.start(point, passing=passing, fresh=_is_fresh(number))
    gateway.wait_ready()
    return time.monotonic() - began_s


def _is_fresh(number: int) -> bool:
    return number % 10 == 1


def one_round(gateway: ScriptedGateway, moments: random.Random, number: int, point: str) -> float:
    """Start, show new and old episodes, and die; seconds until it was ready."""
    ready_s = seconds_to_ready(gateway, number, point, moments.randint(1, 3))
    die_s = time.monotonic() + moments.uniform(0.0, 0.3)
    while gateway.alive and (point or time.monotonic() < die_s):
        known = sorted(gateway.history.all_shown())
        if known and moments.random() < 0.3:
            gateway.show(moments.choice(known))
        try:
            episode = gateway.new_episode()
        except AssertionError:  # it died while the camera was made
            break
        gateway.show(episode)
        time.sleep(moments.uniform(0.0, 0.05))
    gateway.kill()
    return ready_s


@pytest.mark.slow
def test_the_checker_sees_through_a_spool_that_promises_too_early(gateway: ScriptedGateway) -> None:
    gateway.start(broken=True)
    gateway.wait_ready()
    episode = gateway.new_episode()
    assert gateway.show_until_acknowledged(episode)
    gateway.kill()

    gateway.start()
    gateway.wait_ready()

    found = gateway.settle(lambda: stored_in(gateway.data_dir / "ruth.db"), timeout_s=5)
    assert any(fault.startswith("lost") for fault in found), found


@pytest.mark.parametrize("kills", [2, pytest.param(KILLS, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_no_violation_is_lost_doubled_split_or_merged_by_kill_9(
    gateway: ScriptedGateway, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = random.Random(SEED)
    points = zip(range(kills), _points(moments), strict=False)
    ready_s = [one_round(gateway, moments, number, point) for number, point in points]
    ready_s.append(seconds_to_ready(gateway, kills))
    wrong = gateway.settle(lambda: stored_in(gateway.data_dir / "ruth.db"))

    shown, acknowledged = gateway.history.all_shown(), gateway.history.all_acknowledged()
    with capsys.disabled():
        print(
            f"\nseed {SEED}: {kills} kills, {len(shown)} episodes shown, {len(acknowledged)} acknowledged; "
            f"ready again after {_told(ready_s, fresh=False)}, with a new interpreter {_told(ready_s, fresh=True)}"
        )
    assert wrong == []
    assert acknowledged


def _told(ready_s: Sequence[float], *, fresh: bool) -> str:
    """How long starts after a kill took: the first of all makes the database and follows none."""
    again_s = [each for number, each in enumerate(ready_s) if number and _is_fresh(number) is fresh]
    return f"{statistics.median(again_s):.2f} s (median), {max(again_s):.2f} s (longest)"


def _points(moments: random.Random) -> Iterator[str]:
    """Each failpoint in turn, and between two of them a moment at random."""
    while True:
        for point in moments.sample(FAILPOINTS, len(FAILPOINTS)):
            yield point
            yield ""
