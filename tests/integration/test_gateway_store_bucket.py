"""Evidence on its way into a real S3-speaking server, and while that is away."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from gateway.errors import ConfigurationError, NotFoundError, StoreError
from gateway.store.evidence import EvidenceFolder
from gateway.store.s3_evidence import S3Evidence
from gateway.store.staged_evidence import StagedEvidence
from tests.support.s3_server import SECRET_KEY, PrivateS3, private_s3


@pytest.fixture(scope="module")
def running_s3() -> Iterator[PrivateS3]:
    with private_s3() as server:
        yield server


@pytest.fixture
def away_s3() -> Iterator[PrivateS3]:
    """A server that isn't started yet."""
    server = PrivateS3()
    yield server
    server.stop()


def staged_at(folder: Path, s3: PrivateS3, limit_bytes: int = 1 << 20) -> StagedEvidence:
    return StagedEvidence(EvidenceFolder(folder), S3Evidence(s3.place(folder.parent.name)), limit_bytes)


@asynccontextmanager
async def uploading(staged: StagedEvidence) -> AsyncIterator[None]:
    uploads = asyncio.create_task(staged.run())
    try:
        yield
    finally:
        uploads.cancel()
        await asyncio.wait({uploads})


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - as an operator would look
            await asyncio.sleep(0.02)


def left_in(folder: Path) -> list[str]:
    """Everything below a folder from which files and folders go meanwhile."""
    found = (name for _, folders, files in os.walk(folder) for name in (*folders, *files))
    return [name for name in found if name != ".incoming"]


async def test_files_go_to_the_bucket_and_leave_no_folder_behind(running_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", running_s3)
    async with uploading(staged):
        for number in range(20):
            await staged.put(f"2026/03/01/{number}/1.jpg", b"picture")
        await until(lambda: staged.staged.files == 0)

    assert {f"{tmp_path.name}/2026/03/01/{number}/1.jpg" for number in range(20)} <= running_s3.stored()
    assert left_in(tmp_path / "staged") == []
    assert await staged.get("2026/03/01/7/1.jpg") == b"picture"
    assert staged.staged.bytes == 0
    await staged.ping()


async def test_while_the_service_is_away_evidence_is_kept_read_and_told_of(away_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", away_s3)
    async with uploading(staged):
        await staged.put("a/1.jpg", b"picture")
        await until(lambda: bool(staged.staged.fault))

        with pytest.raises(
            StoreError, match=r"1 files of evidence .* wait on disk: the bucket evidence can't be used"
        ) as told:
            await staged.ping()
        assert await staged.get("a/1.jpg") == b"picture"
        assert SECRET_KEY not in str(told.value)

        away_s3.start()
        await until(lambda: staged.staged.files == 0)
        await staged.ping()
    assert away_s3.stored() == {f"{tmp_path.name}/a/1.jpg"}


async def test_what_an_earlier_run_left_goes_up(running_s3: PrivateS3, tmp_path: Path) -> None:
    await staged_at(tmp_path / "staged", running_s3).put("a/1.jpg", b"picture")

    again = staged_at(tmp_path / "staged", running_s3)
    assert again.staged.bytes == len(b"picture")
    async with uploading(again):
        await until(lambda: again.staged.files == 0)
    assert f"{tmp_path.name}/a/1.jpg" in running_s3.stored()


async def test_what_others_did_in_the_folder_stops_nothing(running_s3: PrivateS3, tmp_path: Path) -> None:
    await staged_at(tmp_path / "staged", running_s3).put("a/1.jpg", b"picture")
    (tmp_path / "staged" / ".DS_Store").touch()
    again = staged_at(tmp_path / "staged", running_s3)
    (tmp_path / "staged" / "a" / "1.jpg").unlink()

    async with uploading(again):
        await again.put("a/2.jpg", b"picture")
        await until(lambda: again.staged.files == 0)
    assert {key for key in running_s3.stored() if key.startswith(tmp_path.name)} == {f"{tmp_path.name}/a/2.jpg"}


async def test_no_more_waits_than_may(away_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", away_s3, limit_bytes=3 << 20)
    await staged.put("a/1.mp4", bytes(2 << 20))

    with pytest.raises(StoreError, match="3 MiB of evidence wait on disk already"):
        await staged.put("a/2.mp4", bytes(2 << 20))
    with pytest.raises(NotFoundError):
        await EvidenceFolder(tmp_path / "staged").get("a/2.mp4")
    await staged.put("a/3.jpg", bytes(1 << 20))


async def test_a_file_put_again_while_it_is_uploaded_goes_up_again(running_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", running_s3)
    async with uploading(staged):
        for number in range(200):
            await staged.put("a/1.jpg", b"%d" % number)
            await asyncio.sleep(0.001)
        await until(lambda: staged.staged.files == 0)
    assert await staged.get("a/1.jpg") == b"199"
    assert staged.staged.bytes == 0


async def test_what_is_deleted_while_it_is_uploaded_is_gone_from_both(running_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", running_s3)
    async with uploading(staged):
        for number in range(30):
            await staged.put(f"day/{number}/1.jpg", bytes(50_000))
        for number in range(30):
            await staged.delete(f"day/{number}")
        await until(lambda: staged.staged.files == 0)
    assert not [key for key in running_s3.stored() if key.startswith(f"{tmp_path.name}/day/")]
    assert staged.staged.bytes == 0


async def test_what_waits_cannot_be_deleted_while_the_service_is_away(away_s3: PrivateS3, tmp_path: Path) -> None:
    staged = staged_at(tmp_path / "staged", away_s3)
    await staged.put("a/1.jpg", b"picture")
    with pytest.raises(StoreError, match="can't be used"):
        await staged.delete("a")


async def test_a_bucket_that_is_not_there_is_named(running_s3: PrivateS3) -> None:
    other = S3Evidence(msgspec.structs.replace(running_s3.place(), url="s3://nowhere"))
    with pytest.raises(StoreError, match="the bucket nowhere can't be used") as told:
        await other.put("a.jpg", b"x")
    assert SECRET_KEY not in str(told.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "https://bucket/prefix"}, "s3://bucket"),
        ({"url": "s3://"}, "s3://bucket"),
        ({"endpoint": "minio:9000"}, "RUTH_AI_EVIDENCE_ENDPOINT is https://host"),
        ({"endpoint": "https://me:secret@minio"}, "without a password"),
    ],
)
def test_a_place_that_cannot_be_understood_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        S3Evidence(msgspec.structs.replace(PrivateS3().place(), **changes))


def test_the_library_is_imported_only_where_a_bucket_is_configured() -> None:
    code = "import gateway.app, sys; sys.exit('obstore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
