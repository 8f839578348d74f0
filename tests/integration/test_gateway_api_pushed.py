"""Pictures sent to a push: camera: over HTTP, and all the way to the camera."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.still import StillKind
from gateway.errors import ConflictError, SourceUnavailableError
from tests.support.api_app import Api, running_api
from tests.support.http_camera import jpeg, running_http_camera
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually

JPEG = "image/jpeg"
NV12 = "image/x-nv12"
CAMERA = {"name": "phone", "url": "push:", "model": "people", "fps": 2}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        running.control.check_camera = lambda _: None  # type: ignore[assignment]
        yield running


async def push(api: Api, content: bytes, media_type: str = JPEG, query: str = "", **headers: str):
    camera = (await api.http.post("/api/v1/cameras", json=CAMERA)).json()
    url = f"/api/v1/cameras/{camera['id']}/frames{query}"
    return await api.http.post(url, content=content, headers={"Content-Type": media_type, **headers})


async def test_a_picture_reaches_its_camera_with_its_kind_and_time(api: Api) -> None:
    answers = [
        await push(api, jpeg(), **{"Frame-Time": "2026-01-31T08:00:00.040Z"}),
        await push(api, bytes(64 * 48 * 3 // 2), NV12, "?width=64&height=48"),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (202, {"accepted": True}),
        (202, {"accepted": False}),
    ]
    first, second = (still for _, still in api.control.pushed)
    assert (first.kind, first.time_s) == (StillKind.JPEG, 1769846400.04)
    assert (second.kind, second.size_wh) == (StillKind.NV12, (64, 48))


@pytest.mark.parametrize(
    ("content", "media_type", "query", "status", "said"),
    [
        (b"{}", "application/json", "", 415, NV12),
        (b"x" * 20_000_001, JPEG, "", 413, ""),
        (b"<html>", JPEG, "", 422, "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff nothing", JPEG, "", 422, "no header"),
        (bytes(100), NV12, "?width=64&height=48", 422, "width * height * 3 / 2"),
        (bytes(100), NV12, "", 422, "width * height * 3 / 2"),
        (bytes(100), NV12, "?width=1&height=48", 422, "width"),
    ],
)
async def test_what_is_no_picture_is_refused(
    api: Api, content: bytes, media_type: str, query: str, status: int, said: str
) -> None:
    answer = await push(api, content, media_type, query)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]
    assert api.control.pushed == []


async def test_a_time_without_its_offset_is_refused(api: Api) -> None:
    answer = await push(api, jpeg(), **{"Frame-Time": "2026-01-31T08:00:00"})
    assert answer.status_code == 422
    assert "offset" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("error", "status"), [(ConflictError("it is disabled"), 409), (SourceUnavailableError("it was stopped"), 502)]
)
async def test_a_camera_that_takes_none_says_why(api: Api, error: Exception, status: int) -> None:
    api.control.error = error
    answer = await push(api, jpeg())
    assert (answer.status_code, answer.json()["detail"]) == (status, str(error))


async def test_there_must_be_such_a_camera(api: Api) -> None:
    answer = await api.http.post("/api/v1/cameras/none/frames", content=jpeg(), headers={"Content-Type": JPEG})
    assert answer.status_code == 404


def test_a_gateway_takes_pictures_for_push_cameras_and_tells_what_is_wrong_with_others(tmp_path: Path) -> None:
    secret = "hunter%40%25two"
    with running_http_camera() as http, running_gateway(tmp_path) as gateway:
        pushed = gateway.post("/api/v1/cameras", CAMERA)["id"]
        others = {
            path: gateway.post("/api/v1/cameras", CAMERA | {"url": http.address(path, f"ann:{secret}")})["id"]
            for path in ("/basic", "/digest", "/html", "/garbage", "/snapshot.jpg")
        }
        gone = gateway.post("/api/v1/cameras", CAMERA | {"url": f"rtsp://ann:{secret}@camera.invalid/1"})["id"]
        frames = f"/api/v1/cameras/{pushed}/frames"
        assert [gateway.push(frames, jpeg()) for _ in range(2)] == [(202, True), (202, False)]
        assert gateway.push(frames, np.random.default_rng(1).bytes(5000))[0] == 422
        assert gateway.push(f"/api/v1/cameras/{others['/html']}/frames", jpeg())[0] == 409
        assert gateway.status(pushed)["state"] == "live"
        assert gateway.status(pushed)["frames_dropped"]

        def reasons():
            return {path: (s["state"], s["reason"]) for path, c in others.items() for s in [gateway.status(c)]}

        eventually(lambda: all(state != "connecting" for state, _ in reasons().values()), 15)
        told = reasons()
        assert told["/basic"][0] == told["/digest"][0] == told["/html"][0] == "refused"
        assert "refuses the user name or password (401); trying again in" in told["/basic"][1]
        assert "answers with text/html" in told["/html"][1]
        assert told["/garbage"][0] in ("retrying", "connecting")
        assert told["/snapshot.jpg"][0] == "live"
        assert "camera.invalid can't be found" in gateway.status(gone)["reason"]
        shown = gateway.fetch("/api/v1/cameras").decode()
    written = (tmp_path / "gateway.log").read_text() + shown
    assert "hunter" not in written
    assert "Traceback" not in written
