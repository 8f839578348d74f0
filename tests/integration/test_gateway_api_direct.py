"""One picture in, detections out, over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from gateway.errors import ModelContractError, RuntimeBusyError
from tests.support.api_app import Api, running_api
from tests.support.pictures import CONTRACT

JPEG, PNG = "image/jpeg", "image/png"
INFER = "/api/v1/infer/people"


def picture(suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, np.full((50, 60, 3), 200, np.uint8))[1].tobytes()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        running.control.contracts["people"] = CONTRACT
        yield running


async def post(api: Api, content: bytes, media_type: str = JPEG, path: str = INFER):
    return await api.http.post(path, content=content, headers={"Content-Type": media_type})


@pytest.mark.parametrize(("suffix", "media_type"), [(".jpg", JPEG), (".png", PNG)])
async def test_a_picture_is_answered_with_what_the_model_sees_in_it(api: Api, suffix: str, media_type: str) -> None:
    answer = await post(api, picture(suffix), media_type)
    assert answer.status_code == 200
    assert answer.json() == {
        "model": "people",
        "model_version": "2",
        "runtime_id": "triton-1",
        "latency_ms": 12.5,
        "resolution_wh": [60, 50],
        "objects": [{"label": "person", "score": 0.9, "box": [1.0, 2.0, 3.46, 4.0]}],
    }


@pytest.mark.parametrize(
    ("content", "media_type", "status", "said"),
    [
        (picture(), "application/json", 415, "image/jpeg or image/png"),
        (picture(), "multipart/form-data; boundary=x", 415, "image/jpeg or image/png"),
        (b"", JPEG, 422, "neither a JPEG nor a PNG"),
        (b"<html>", JPEG, 422, "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff" + b"\x00" * 1000, JPEG, 422, "can't be decoded"),
        (picture()[:-200], JPEG, 422, "cut short"),
        (b"\xff" * 30_000_001, JPEG, 413, ""),
    ],
)
async def test_what_is_no_picture_is_refused(api: Api, content: bytes, media_type: str, status: int, said: str) -> None:
    answer = await post(api, content, media_type)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


async def test_a_picture_that_would_decode_to_gigabytes_is_refused_before(api: Api) -> None:
    small = picture(".png")
    width_at = small.index(b"IHDR") + 4
    huge = small[:width_at] + (65_535).to_bytes(4, "big") * 2 + small[width_at + 8 :]
    answer = await post(api, huge, PNG)
    assert answer.status_code == 422
    assert "megapixels" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (RuntimeBusyError("no turn"), 503, "runtime-busy"),
        (ModelContractError("no detector"), 409, "model-contract"),
    ],
)
async def test_a_call_that_comes_to_nothing_says_why(api: Api, error: Exception, status: int, kind: str) -> None:
    api.control.error = error
    answer = await post(api, picture())
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:problem-type:ruth-ai:{kind}")


async def test_a_model_that_nobody_has_is_not_found(api: Api) -> None:
    assert (await post(api, picture(), path="/api/v1/infer/ghosts")).status_code == 404
