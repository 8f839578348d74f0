"""Replicas on one PostgreSQL: cameras are shared evenly and pass on when their owner is gone; no violation is lost."""

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.store.outbox import OUTBOX_LOCK
from tests.support.contract_models import HEIGHT, WIDTH
from tests.support.fault_scale import SCALE
from tests.support.history import Episode, twins_at
from tests.support.postgres import PrivatePostgres, private_postgres
from tests.support.replicas import LEASE_S, Replicas, replicas_on
from tests.support.scripted_gateway import MODEL, ScriptedGateway
from tests.support.scripted_model import picture_of, publish_scripted
from tests.support.triton_server import eventually, running_triton

SEED = int(os.environ.get("RUTH_FAULTS_SEED", "20260301"))
STOPS = round(30 * SCALE)
KILLS = round(20 * SCALE)
CAMERAS = 4
HANDED_OVER_S = LEASE_S + 1.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PrivatePostgres]:
    with private_postgres() as server:
        yield server


@pytest.fixture
def replicas(postgres: PrivatePostgres, tmp_path: Path) -> Iterator[Replicas]:
    with replicas_on(tmp_path, postgres.new_database(), "anna", "ben") as replicas:
        yield replicas


def start(replicas: Replicas, *names: str) -> None:
    """Start replicas and wait until each answers."""
    for name in names:
        replicas.gateways[name].start()
    for name in names:
        eventually(lambda name=name: replicas.gateways[name].request("GET", "/health")[0] == 200, 30)


def push_cameras(gateway: ScriptedGateway, number: int) -> list[str]:
    """Put cameras on record that wait for pictures."""
    settings = {"name": "camera", "url": "push:", "model": MODEL}
    return [str(gateway.post("/api/v1/cameras", settings)["id"]) for _ in range(number)]


def wait_for_shares(replicas: Replicas, timeout_s: float, **shares: int) -> float:
    """Wait until each has so many cameras; how long it took, in seconds."""
    began_s = time.monotonic()
    eventually(lambda: replicas.shares() == shares, timeout_s)
    return time.monotonic() - began_s


def put(gateway: ScriptedGateway, camera: str, **changes: object) -> None:
    """Change a camera's settings through one gateway."""
    settings = {"name": "camera", "url": "push:", "model": MODEL, **changes}
    headers = {"Content-Type": "application/json"}
    assert gateway.request("PUT", f"/api/v1/cameras/{camera}", json.dumps(settings).encode(), **headers)[0] == 200


def status(gateway: ScriptedGateway, camera: str) -> Any:
    """How one gateway says a camera is doing."""
    return gateway.request("GET", f"/api/v1/cameras/{camera}")[1]["status"]


@pytest.mark.slow
def test_two_replicas_share_eight_cameras_and_one_has_them_all_when_the_other_is_gone(
    replicas: Replicas, capsys: pytest.CaptureFixture[str]
) -> None:
    anna, ben = replicas.gateways.values()
    start(replicas, "anna")
    push_cameras(anna, 8)
    assert replicas.shares() == {"anna": 8, "ben": 0}
    start(replicas, "ben")
    shared_s = wait_for_shares(replicas, 30, anna=4, ben=4)

    began_s = time.monotonic()
    anna.kill(signal.SIGKILL)
    eventually(lambda: len(_running(ben)) == 8, 2 * HANDED_OVER_S)
    killed_s = time.monotonic() - began_s
    start(replicas, "anna")
    wait_for_shares(replicas, 30, anna=4, ben=4)

    began_s = time.monotonic()
    os.kill(ben.process.pid, signal.SIGTERM)  # type: ignore[union-attr, arg-type]
    eventually(lambda: len(_running(anna)) == 8, 2 * HANDED_OVER_S)
    stopped_s = time.monotonic() - began_s
    assert ben.kill(signal.SIGCONT) == 0
    with capsys.disabled():
        print(
            f"\nlease {LEASE_S:g} s: 8 cameras are 4 and 4 after {shared_s:.1f} s; the other replica has them all "
            f"{killed_s:.1f} s after kill -9, {stopped_s:.1f} s after SIGTERM"
        )
    assert killed_s <= HANDED_OVER_S
    assert stopped_s <= LEASE_S


def _running(gateway: ScriptedGateway) -> list[str]:
    """Cameras that wait for pictures at this gateway."""
    views = gateway.request("GET", "/api/v1/cameras")[1]["items"]
    return [view["id"] for view in views if view["status"]["wanted_fps"]]


def test_changes_reach_the_owner_over_any_replica_and_others_say_who_it_is(replicas: Replicas) -> None:
    anna, ben = replicas.gateways.values()
    start(replicas, "anna", "ben")
    for gateway in (anna, ben):
        push_cameras(gateway, 1)
    wait_for_shares(replicas, 10, anna=1, ben=1)
    camera = next(each for each, owner in replicas.owners().items() if owner == "ben")

    eventually(lambda: status(anna, camera)["owner"] == "ben", LEASE_S)
    assert status(anna, camera)["state"] == "elsewhere"
    assert status(ben, camera)["owner"] == "ben"
    path = f"/api/v1/cameras/{camera}/frames?width={WIDTH}&height={HEIGHT}"
    code, problem = anna.request("POST", path, picture_of(None), **{"Content-Type": "image/x-nv12"})
    assert (code, problem["detail"]) == (409, "the replica ben has the camera: send its pictures there")

    put(anna, camera, enabled=False)
    eventually(lambda: status(ben, camera)["state"] == "disabled", 5)
    put(anna, camera, fps=1)
    eventually(lambda: status(ben, camera)["wanted_fps"] == 1, 5)
    assert anna.request("DELETE", f"/api/v1/cameras/{camera}")[0] == 204
    eventually(lambda: camera not in replicas.owners(), 5)
    leases = anna.request("GET", "/api/v1/health")[1]["components"]["leases"]
    assert leases["status"] == "healthy"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_owner_that_stands_still_for_three_leases_loses_its_cameras_and_no_violation(
    replicas: Replicas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    anna, ben = replicas.gateways.values()
    with running_triton(tmp_path / "models", gateway=anna.url), running_triton(tmp_path / "models", gateway=ben.url):
        start(replicas, "anna", "ben")
        for gateway in (anna, ben):
            gateway.wait_ready()
        replicas.watch()
        moments = random.Random(SEED)
        handed_over_s = _stand_still(replicas, moments, [anna.new_camera() for _ in range(CAMERAS)])
        wrong = replicas.judge()
    twins = len(asyncio.run(twins_at(replicas.url)))
    with capsys.disabled():
        print(
            f"\nseed {SEED}: {len(handed_over_s)} stops of {3 * LEASE_S:g} s, lease {LEASE_S:g} s; handed over after "
            f"{statistics.median(handed_over_s):.2f} s (median), {max(handed_over_s):.2f} s (longest); "
            f"{len(replicas.history.all_shown())} episodes shown, {len(replicas.history.all_acknowledged())} "
            f"acknowledged, {twins} recorded by two replicas and merged; {len(replicas.stale_writes())} stale writes"
        )
    assert wrong == []
    assert replicas.stale_writes() == []
    assert max(handed_over_s) <= HANDED_OVER_S
    assert replicas.history.all_acknowledged()


def _stand_still(replicas: Replicas, moments: random.Random, cameras: Sequence[str]) -> list[float]:
    """Stop owners, one after the other, for three leases each; how long their cameras were with nobody."""
    episodes = replicas.episodes(cameras)
    handed_over_s: list[float] = []
    for _ in range(STOPS):
        wait_for_shares(replicas, 30, anna=CAMERAS // 2, ben=CAMERAS // 2)
        name, other = moments.sample(("anna", "ben"), 2)
        _show_for(replicas, moments.uniform(0.5, 1.5), [next(episodes)])
        pid = replicas.gateways[name].process.pid  # type: ignore[union-attr]
        assert pid is not None
        with _shown_meanwhile(replicas, [next(episodes) for _ in range(3)]):
            time.sleep(moments.uniform(0, 0.1))
            os.kill(pid, signal.SIGSTOP)
            stopped_s = time.monotonic()
        try:
            eventually(lambda other=other: set(replicas.owners().values()) == {other}, 4 * LEASE_S)
            handed_over_s.append(time.monotonic() - stopped_s)
            _show_for(replicas, stopped_s + 3 * LEASE_S - time.monotonic(), [next(episodes), next(episodes)])
        finally:
            os.kill(pid, signal.SIGCONT)
    return handed_over_s


def _show_for(replicas: Replicas, seconds: float, new: Sequence[Episode]) -> None:
    """Show new episodes, and then those of before again and again."""
    until_s = time.monotonic() + seconds
    for episode in new:
        replicas.show(episode)
    while time.monotonic() < until_s:
        for known in sorted(replicas.history.all_shown())[-8:]:
            replicas.show(known)
        time.sleep(0.2)


@contextlib.contextmanager
def _shown_meanwhile(replicas: Replicas, episodes: Sequence[Episode]) -> Iterator[None]:
    """Have pictures on their way while the block runs: the stop comes between any two steps of theirs."""
    showing = [threading.Thread(target=replicas.show, args=(episode,)) for episode in episodes]
    for thread in showing:
        thread.start()
    yield
    for thread in showing:
        thread.join()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_replica_that_is_killed_and_started_again_goes_on_with_its_cameras(
    replicas: Replicas, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    anna = replicas.gateways["anna"]
    moments = random.Random(SEED)
    with running_triton(tmp_path / "models", gateway=anna.url):
        start(replicas, "anna")
        anna.wait_ready()
        episodes = replicas.episodes([anna.new_camera()])
        for _ in range(KILLS):
            with _shown_meanwhile(replicas, [next(episodes), next(episodes)]):
                time.sleep(moments.uniform(0, 0.3))
                anna.kill()
            anna.start()
            anna.wait_ready()
            assert set(replicas.owners().values()) == {"anna"}
        epochs = replicas.ask("SELECT epoch FROM camera_lease")
        wrong = replicas.judge()
    with capsys.disabled():
        print(f"\nseed {SEED}: {KILLS} kills, {len(replicas.history.all_acknowledged())} acknowledged")
    assert wrong == []
    assert [row["epoch"] for row in epochs] == [1], "nobody had it in between"


@pytest.mark.slow
def test_without_the_database_one_replica_of_several_stops_looking_and_one_that_is_alone_goes_on(
    postgres: PrivatePostgres, replicas: Replicas
) -> None:
    anna, ben = replicas.gateways.values()
    start(replicas, "anna", "ben")
    settings = {"name": "camera", "url": "demo:?size=320x240", "model": MODEL}
    for _ in range(2):
        anna.post("/api/v1/cameras", settings)
    wait_for_shares(replicas, 10, anna=1, ben=1)
    for alone in (False, True):
        if alone:
            assert ben.kill(signal.SIGTERM) == 0
            wait_for_shares(replicas, HANDED_OVER_S, anna=2, ben=0)
        before = _unowned_frames(anna)
        postgres.stop()
        time.sleep(2 * LEASE_S)
        dropped = _unowned_frames(anna) - before
        postgres.start()
        assert (dropped > 0) is not alone
        eventually(lambda: anna.request("GET", "/api/v1/health")[1]["components"]["leases"]["status"] == "healthy", 10)
        wait_for_shares(replicas, 10, **({"anna": 2, "ben": 0} if alone else {"anna": 1, "ben": 1}))


def _unowned_frames(gateway: ScriptedGateway) -> float:
    """Frames dropped so far as their camera might be another replica's."""
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=10) as answer:
        lines = [line for line in answer.read().decode().splitlines() if 'reason="not_owned"' in line]
    return sum(float(line.split()[-1]) for line in lines if line.startswith("ruth_ai_frames_dropped_total"))


STOPPED_WITHIN = """
import asyncio, os, signal, sys, time
import asyncpg

async def main():
    connection = await asyncpg.connect(sys.argv[1], statement_cache_size=0)
    await connection.execute("BEGIN")
    await connection.execute("SELECT * FROM camera_lease FOR UPDATE")
    await connection.execute(f"SELECT pg_advisory_xact_lock({sys.argv[2]})")
    if sys.argv[3] == "parsing":
        asyncio.get_running_loop().call_later(0, os.kill, os.getpid(), signal.SIGSTOP)
        await connection.fetch("SELECT pg_sleep(0), $1::text", "late")
    os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main())
"""


@pytest.mark.parametrize("where", ["parsing", "between statements"])
def test_a_process_that_was_stopped_within_a_transaction_holds_nobody_up(replicas: Replicas, where: str) -> None:
    start(replicas, "anna", "ben")
    push_cameras(replicas.gateways["anna"], 2)
    wait_for_shares(replicas, 10, anna=1, ben=1)
    arguments = [sys.executable, "-c", STOPPED_WITHIN, replicas.url, str(OUTBOX_LOCK), where]
    with subprocess.Popen(arguments) as stopped:
        eventually(lambda: _is_stopped(stopped.pid), 10)
        replicas.gateways["ben"].kill(signal.SIGKILL)
        wait_for_shares(replicas, HANDED_OVER_S, anna=2, ben=0)
        stopped.kill()


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_the_watch_sees_who_writes_what_another_owns(replicas: Replicas) -> None:
    start(replicas, "anna")
    (camera,) = push_cameras(replicas.gateways["anna"], 1)
    replicas.watch()
    replicas.ask("UPDATE camera_lease SET states = 'forged' WHERE camera_id = $1", camera)
    assert [(row["what"], row["owner"]) for row in replicas.stale_writes()] == [("states", "anna")]
