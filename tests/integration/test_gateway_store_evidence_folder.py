"""The evidence folder on a real file system."""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from signal import SIG_IGN, SIGXFSZ, signal

import pytest

from gateway.errors import StoreError
from gateway.store.evidence import LEFT_OVER_S, EvidenceFolder


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """The kernel refuses files over 64 KiB in this process, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal(SIGXFSZ, SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal(SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files_only")
async def test_a_file_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    evidence = EvidenceFolder(tmp_path)

    with pytest.raises(StoreError, match="can't be kept"):
        await evidence.put("a/b.jpg", bytes(100_000))

    assert _files(tmp_path) == []


async def test_what_a_killed_process_left_is_removed_and_evidence_stays(tmp_path: Path) -> None:
    await EvidenceFolder(tmp_path).put("a.jpg", b"kept")
    left_over = tmp_path / ".incoming" / "0123"
    left_over.write_bytes(b"half a pict")
    an_hour_ago = time.time() - LEFT_OVER_S - 1
    os.utime(left_over, (an_hour_ago, an_hour_ago))

    evidence = EvidenceFolder(tmp_path)

    assert list((tmp_path / ".incoming").iterdir()) == []
    assert await evidence.get("a.jpg") == b"kept"


async def test_what_another_gateway_writes_into_a_shared_folder_is_left_alone(tmp_path: Path) -> None:
    EvidenceFolder(tmp_path)
    in_flight = tmp_path / ".incoming" / "4567"
    in_flight.write_bytes(b"half a pict")

    EvidenceFolder(tmp_path)

    assert in_flight.read_bytes() == b"half a pict"


async def test_a_file_and_a_folder_are_there_until_they_are_deleted(tmp_path: Path) -> None:
    evidence = EvidenceFolder(tmp_path)
    await evidence.put("day/one/1.jpg", b"x")
    assert await evidence.has("day/one/1.jpg")
    assert await evidence.has("day/one")
    await evidence.delete("day/one")
    assert not await evidence.has("day/one/1.jpg")
    assert not await evidence.has("day/one")


async def test_many_pictures_at_once_are_all_kept(tmp_path: Path) -> None:
    evidence = EvidenceFolder(tmp_path)
    pictures = {f"2026/{number % 3}/{number}.jpg": b"%d" % number for number in range(40)}

    await asyncio.gather(*(evidence.put(name, content) for name, content in pictures.items()))

    assert {name: await evidence.get(name) for name in pictures} == pictures


async def test_what_the_evidence_takes_of_its_disk_is_told(tmp_path: Path) -> None:
    evidence = EvidenceFolder(tmp_path)
    assert await evidence.held_share() == 0
    for name in ("a.jpg", "2026/03/01/b.jpg"):
        await evidence.put(name, bytes(100_000))
    disk = os.statvfs(tmp_path)
    assert round(await evidence.held_share() * disk.f_blocks * disk.f_frsize) == 200_000


async def test_a_folder_whose_disk_goes_away_is_one_clear_error_of_the_store(tmp_path: Path) -> None:
    evidence = EvidenceFolder(tmp_path / "evidence")
    shutil.rmtree(tmp_path / "evidence")
    for share in (evidence.used_share, evidence.held_share):
        with pytest.raises(StoreError, match="evidence is away: No such file"):
            await share()


async def test_a_disk_that_does_not_tell_its_size_is_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = EvidenceFolder(tmp_path)
    await evidence.put("a.jpg", b"x")
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((4096, 4096, *[0] * 8)))
    assert (await evidence.used_share(), await evidence.held_share()) == (0, 0)


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("in the way")

    with pytest.raises(StoreError, match="evidence folder"):
        EvidenceFolder(tmp_path / "evidence")
