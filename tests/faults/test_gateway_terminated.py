"""SIGTERM while pictures come: what was accepted is on record, and the gateway ends well and soon."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.fault_scale import SCALE
from tests.support.history import Episode, stored_in
from tests.support.scripted_gateway import MODEL, ScriptedGateway, scripted_gateway
from tests.support.scripted_model import LABELS, publish_scripted
from tests.support.triton_server import running_triton

SEED = int(os.environ.get("RUTH_FAULTS_SEED", "20260301"))
CAMERAS = 4
ROUNDS = round(30 * SCALE)
EXIT_S = 10.0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_accepted_is_dropped_by_sigterm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moments = random.Random(SEED)
    publish_scripted(tmp_path / "models", MODEL)
    with (
        scripted_gateway(tmp_path / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url),
    ):
        gateway.start()
        gateway.wait_ready()
        cameras = [gateway.new_camera() for _ in range(CAMERAS)]
        exits_s: list[float] = []
        accepted: set[Episode] = set()
        for label in LABELS[:ROUNDS]:
            accepted |= terminate_under_load(gateway, [(camera, label) for camera in cameras], moments, exits_s)
            gateway.start()
            gateway.wait_ready()
        wrong = gateway.settle(lambda: stored_in(gateway.data_dir / "ruth.db"))

    with capsys.disabled():
        print(f"\nseed {SEED}: {ROUNDS} SIGTERMs, {len(accepted)} episodes accepted, longest exit {max(exits_s):.2f} s")
    assert wrong == []
    assert accepted
    assert max(exits_s) <= EXIT_S


def terminate_under_load(
    gateway: ScriptedGateway, episodes: list[Episode], moments: random.Random, exits_s: list[float]
) -> set[Episode]:
    """Show episodes at once, and end the gateway meanwhile; those of which it accepted a picture."""
    accepted: set[Episode] = set()
    ended = threading.Event()

    def show_on(episode: Episode) -> None:
        while not ended.is_set():
            if gateway.show(episode):
                accepted.add(episode)

    showing = [threading.Thread(target=show_on, args=(episode,)) for episode in episodes]
    for each in showing:
        each.start()
    time.sleep(moments.uniform(0.0, 0.15))
    began_s = time.monotonic()
    status = gateway.kill(signal.SIGTERM)
    exits_s.append(time.monotonic() - began_s)
    ended.set()
    for each in showing:
        each.join()

    assert status == 0, (gateway.data_dir / "gateway.log").read_text()[-2000:]
    assert accepted <= set(gateway.history.all_acknowledged().values())
    return accepted
