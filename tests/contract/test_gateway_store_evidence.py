"""What `EvidenceStore` promises: in a folder, in a bucket, and on the way from one to the other."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.domain.ports import EvidenceStore
from gateway.errors import InvalidInputError, NotFoundError
from gateway.store.evidence import EvidenceFolder
from gateway.store.s3_evidence import S3Evidence
from gateway.store.staged_evidence import StagedEvidence
from tests.support.s3_server import PrivateS3, private_s3


@pytest.fixture(scope="module")
def s3() -> Iterator[PrivateS3]:
    with private_s3() as server:
        yield server


@pytest.fixture(params=["folder", "s3", "staged", "uploading"])
async def evidence(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EvidenceStore]:
    if request.param == "folder":
        yield EvidenceFolder(tmp_path / "evidence")
        return
    bucket = S3Evidence(request.getfixturevalue("s3").place(tmp_path.name))
    if request.param == "s3":
        yield bucket
        return
    staged = StagedEvidence(EvidenceFolder(tmp_path / "staged"), bucket, 1 << 30)
    uploads = asyncio.create_task(staged.run() if request.param == "uploading" else asyncio.sleep(0))
    yield staged
    uploads.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await uploads


@pytest.mark.parametrize("name", ["0197.jpg", "2026/03/01/0197-ab_c.jpg"])
@pytest.mark.parametrize("content", [b"", b"\xff\xd8\x00picture\xff\xd9", bytes(300_000)])
async def test_what_was_put_is_got_and_its_hash_is_told(evidence: EvidenceStore, name: str, content: bytes) -> None:
    assert await evidence.put(name, content) == hashlib.sha256(content).hexdigest()
    assert await evidence.get(name) == content


async def test_a_name_put_again_holds_the_newer_file(evidence: EvidenceStore) -> None:
    await evidence.put("a.jpg", b"old")
    await evidence.put("a.jpg", b"new")

    assert await evidence.get("a.jpg") == b"new"


@pytest.mark.parametrize("name", ["a.jpg", "a/b.jpg", "a"])
async def test_a_file_that_is_not_there_is_not_found(evidence: EvidenceStore, name: str) -> None:
    await evidence.put("a/other.jpg", b"x")

    with pytest.raises(NotFoundError):
        await evidence.get(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../up.jpg",
        "a/../../up.jpg",
        "a//b.jpg",
        ".incoming/x",
        "a/.b",
        "a\\b",
        "a\0b",
        "a\n",
        "a/",
        "x" * 300,
    ],
)
async def test_a_name_that_is_no_plain_path_is_refused(evidence: EvidenceStore, name: str) -> None:
    with pytest.raises(InvalidInputError):
        await evidence.put(name, b"x")
    with pytest.raises(InvalidInputError):
        await evidence.get(name)


async def test_a_file_or_a_whole_folder_can_be_deleted_and_again(evidence: EvidenceStore) -> None:
    for name in ("day/one/1.jpg", "day/one/2.jpg", "day/two/1.jpg", "day/two/2.jpg"):
        await evidence.put(name, b"x")
    for _ in range(2):
        await evidence.delete("day/one")
        await evidence.delete("day/two/1.jpg")
    assert await evidence.get("day/two/2.jpg") == b"x"
    for name in ("day/one/1.jpg", "day/one/2.jpg", "day/two/1.jpg"):
        with pytest.raises(NotFoundError):
            await evidence.get(name)
    with pytest.raises(InvalidInputError):
        await evidence.delete("../day")


async def test_the_share_of_the_disk_that_is_used_is_a_share(evidence: EvidenceStore) -> None:
    assert 0 <= await evidence.used_share() <= 1
    assert 0 <= await evidence.held_share() <= 1
