"""Disks without space under a running gateway: nothing acknowledged is lost, it says so, and it gets well by itself."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.history import Stored, stored_at, stored_in
from tests.support.postgres import private_postgres
from tests.support.scripted_gateway import MODEL, ScriptedGateway, scripted_gateway
from tests.support.scripted_model import publish_scripted
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.triton_server import eventually, running_triton

NOT_READY_S = 2.0
WELL_AGAIN_S = 10.0
SLACK = 3  # times as long on a machine that is busy with other tests; the figures are printed

pytestmark = pytest.mark.slow


def test_a_full_disk_under_the_spool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    with (
        small_disk(300) as disk,
        scripted_gateway(disk.folder / "gateway") as gateway,
        running_triton(tmp_path / "models", gateway=gateway.url),
    ):
        fill_and_clear(gateway, disk, 4 << 20, lambda: stored_in(gateway.data_dir / "ruth.db"), capsys)


def test_a_full_disk_under_postgresql(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish_scripted(tmp_path / "models", MODEL)
    with small_disk(120) as disk, private_postgres(disk.folder) as postgres:
        url = postgres.new_database()
        with (
            scripted_gateway(tmp_path / "gateway", {"DATABASE_URL": url}) as gateway,
            running_triton(tmp_path / "models", gateway=gateway.url),
        ):
            fill_and_clear(gateway, disk, 0, lambda: asyncio.run(stored_at(url)), capsys)


def fill_and_clear(
    gateway: ScriptedGateway,
    disk: SmallDisk,
    leave_bytes: int,
    stored: Callable[[], list[Stored]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fill the disk while violations come, wait until the gateway says so, make room, and judge."""
    gateway.start()
    gateway.wait_ready()
    for _ in range(10):
        gateway.show_until_acknowledged(gateway.new_episode())
    disk.fill(leave_bytes)
    began_s = time.monotonic()

    def refused() -> bool:
        gateway.show(gateway.new_episode())
        return gateway.request("GET", "/api/v1/health/ready")[0] == 503

    eventually(refused, 60)
    not_ready_s = time.monotonic() - began_s
    disk.clear()
    well_s = gateway.wait_ready()
    wrong = gateway.settle(stored)
    with capsys.disabled():
        print(f"\ndisk full: not ready after {not_ready_s:.2f} s; well {well_s:.2f} s after space came back")
    assert wrong == []
    assert not_ready_s < NOT_READY_S * SLACK
    assert well_s < WELL_AGAIN_S * SLACK
