"""The evidence folder on a real file system."""

import asyncio
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from signal import SIG_IGN, SIGXFSZ, signal

import pytest

from gateway.errors import StoreError
from gateway.store.evidence import EvidenceFolder


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
    (tmp_path / ".incoming" / "0123").write_bytes(b"half a pict")

    evidence = EvidenceFolder(tmp_path)

    assert list((tmp_path / ".incoming").iterdir()) == []
    assert await evidence.get("a.jpg") == b"kept"


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


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("in the way")

    with pytest.raises(StoreError, match="evidence folder"):
        EvidenceFolder(tmp_path / "evidence")
