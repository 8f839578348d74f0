"""Cameras and rules over HTTP, on record and in the pipeline."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.camera import CameraState, CameraStatus
from gateway.domain.letterbox import LetterboxMode
from gateway.domain.model import ModelContract, Task
from tests.support.api_app import Api, running_api

CAMERA = {"name": "Gate", "url": "rtsp://admin:s%40cr%2Fet@cam.example:554/1?channel=2", "model": "people", "fps": 7}
MASKED_URL = "rtsp://admin:***@cam.example:554/1?channel=2"
TRIANGLE = [[0.1, 0.1], [0.9, 0.1], [0.5, 0.9]]
BOW_TIE = [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def _create(api: Api, **changes: object) -> dict[str, object]:
    answer = await api.http.post("/api/v1/cameras", json=CAMERA | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_camera_is_put_on_record_started_and_shown_with_its_status(api: Api) -> None:
    camera = await _create(api)
    api.control.statuses[str(camera["id"])] = CameraStatus(
        state=CameraState.RETRYING, reason="rtsp://admin:s@cr/et@cam.example timed out", wanted_fps=7, granted_fps=5
    )
    shown = (await api.http.get(f"/api/v1/cameras/{camera['id']}")).json()
    assert shown == camera | {"status": shown["status"]}
    assert (shown["status"]["state"], shown["status"]["granted_fps"]) == ("retrying", 5.0)
    assert shown["created_at"].endswith("Z")
    assert api.control.applied[str(camera["id"])][0].settings.url == CAMERA["url"]


async def test_no_answer_shows_the_password_of_a_camera(api: Api) -> None:
    camera = await _create(api)
    api.control.statuses[str(camera["id"])] = CameraStatus(
        state=CameraState.REFUSED, reason="401 for rtsp://admin:s@cr/et@cam.example/1"
    )
    answers = [
        await api.http.get("/api/v1/cameras"),
        await api.http.get(f"/api/v1/cameras/{camera['id']}"),
        await api.http.post("/api/v1/cameras", json=CAMERA | {"url": "gopher://u:s%40cr%2Fet@h"}),
        await api.http.post("/api/v1/cameras", json=CAMERA | {"fps": "rtsp://u:s%40cr%2Fet@h"}),
    ]
    assert camera["url"] == MASKED_URL
    assert [answer.status_code for answer in answers] == [200, 200, 422, 422]
    assert not [answer.text for answer in answers if "cr" in answer.text.replace("created", "").replace("cross", "")]


async def test_sending_a_camera_back_as_it_was_shown_keeps_its_password(api: Api) -> None:
    camera = await _create(api)
    answer = await api.http.put(f"/api/v1/cameras/{camera['id']}", json=CAMERA | {"url": MASKED_URL, "name": "Yard"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Yard")
    assert (await api.store.camera(str(camera["id"]))).settings.url == CAMERA["url"]
    assert api.control.applied[str(camera["id"])][0].settings.url == CAMERA["url"]


@pytest.mark.parametrize("url", ["rtsp://admin:***@elsewhere.example/1", "http://cam.example/snap?token=***"])
async def test_a_masked_password_that_is_not_on_record_is_refused(api: Api, url: str) -> None:
    camera = await _create(api)
    answers = [
        await api.http.post("/api/v1/cameras", json=CAMERA | {"url": url}),
        await api.http.put(f"/api/v1/cameras/{camera['id']}", json=CAMERA | {"url": url}),
    ]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert "masked" in answers[0].json()["detail"]


async def test_a_deleted_camera_is_gone_from_record_pipeline_and_metrics(api: Api) -> None:
    camera_id = str((await _create(api))["id"])
    api.metrics.frame_dropped(camera_id, "stale")
    assert camera_id in (await api.http.get("/metrics")).text
    assert (await api.http.delete(f"/api/v1/cameras/{camera_id}")).status_code == 204
    assert (await api.http.get(f"/api/v1/cameras/{camera_id}")).status_code == 404
    assert (await api.http.delete(f"/api/v1/cameras/{camera_id}")).status_code == 404
    assert camera_id not in api.control.applied
    assert camera_id not in (await api.http.get("/metrics")).text


async def test_an_unknown_camera_scheme_is_refused_with_the_reason_and_nothing_is_recorded(api: Api) -> None:
    answer = await api.http.post("/api/v1/cameras", json=CAMERA | {"url": "gopher://cam.example"})
    assert answer.status_code == 422
    assert "take rtsp" in answer.json()["detail"]
    assert (await api.http.get("/api/v1/cameras")).json() == {"items": [], "next_cursor": None}


async def test_rules_reach_the_running_camera(api: Api) -> None:
    camera_id = str((await _create(api))["id"])
    rules = f"/api/v1/cameras/{camera_id}/rules"
    body = {"name": "Keep out", "definition": {"type": "zone_presence", "zone": TRIANGLE}, "severity": "high"}
    rule = (await api.http.post(rules, json=body)).json()
    assert (rule["revision"], rule["camera_id"], rule["definition"]["min_duration_s"]) == (1, camera_id, 1.0)
    assert rule["definition"]["type"] == "zone_presence"
    changed = await api.http.put(f"{rules}/{rule['id']}", json=body | {"enabled": False})
    assert (changed.json()["revision"], changed.json()["enabled"]) == (2, False)
    assert [applied.revision for applied in api.control.applied[camera_id][1]] == [2]
    assert (await api.http.get(rules)).json()["items"] == [changed.json()]
    assert (await api.http.get(f"{rules}/{rule['id']}")).json() == changed.json()
    assert (await api.http.delete(f"{rules}/{rule['id']}")).status_code == 204
    assert api.control.applied[camera_id][1] == ()
    assert (await api.http.get(f"{rules}/{rule['id']}")).status_code == 404


async def test_changing_a_camera_keeps_its_rules_running(api: Api) -> None:
    camera_id = str((await _create(api))["id"])
    await api.http.post(
        f"/api/v1/cameras/{camera_id}/rules", json={"name": "r", "definition": {"type": "zone_presence"}}
    )
    await api.http.put(f"/api/v1/cameras/{camera_id}", json=CAMERA | {"fps": 3})
    camera, rules = api.control.applied[camera_id]
    assert (camera.settings.fps, len(rules)) == (3, 1)


async def test_rules_of_a_camera_that_does_not_exist_are_not_found(api: Api) -> None:
    rule = {"name": "r", "definition": {"type": "zone_presence"}}
    answers = [
        await api.http.get("/api/v1/cameras/nowhere/rules"),
        await api.http.post("/api/v1/cameras/nowhere/rules", json=rule),
        await api.http.put("/api/v1/cameras/nowhere/rules/none", json=rule),
        await api.http.delete("/api/v1/cameras/nowhere/rules/none"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]


async def test_a_zone_that_crosses_itself_is_refused_with_the_place_and_the_reason(api: Api) -> None:
    camera_id = str((await _create(api))["id"])
    body = {"name": "r", "definition": {"type": "zone_presence", "zone": BOW_TIE}}
    answer = await api.http.post(f"/api/v1/cameras/{camera_id}/rules", json=body)
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert problem["errors"][0]["field"] == "definition"
    assert "not simple" in problem["errors"][0]["message"]
    assert "Self-intersection" in problem["detail"]


async def test_a_ground_plane_with_three_of_its_points_in_a_line_is_refused_with_what_would_do(api: Api) -> None:
    path = f"/api/v1/cameras/{(await _create(api))['id']}/rules"
    ground = [{"picture": [x, y], "metres": [10 * x, 10 * y]} for x, y in ((0, 0), (0.5, 0), (1, 0), (0.5, 1))]
    answer = await api.http.post(
        path, json={"name": "r", "definition": {"type": "speed", "max_kmh": 5, "ground": ground}}
    )
    assert answer.status_code == 422
    assert "of which no three do" in answer.json()["detail"]
    assert (await api.http.get(path)).json()["items"] == []


async def test_a_rule_for_a_label_that_the_cameras_model_lacks_is_refused_with_the_labels_there_are(api: Api) -> None:
    camera = await _create(api)
    api.control.contracts["people"] = ModelContract(
        name="people",
        version="1",
        task=Task.DETECT,
        input_wh=(416, 416),
        letterbox=LetterboxMode.TOP_LEFT,
        pad_luma=16,
        labels=("person", "forklift"),
    )
    path = f"/api/v1/cameras/{camera['id']}/rules"
    rule = {"name": "typo", "definition": {"type": "zone_presence", "labels": ["persn"]}}
    answer = await api.http.post(path, json=rule)
    assert answer.status_code == 422
    assert "persn" in answer.json()["detail"]
    assert "person, forklift" in answer.json()["detail"]
    assert (await api.http.get(path)).json()["items"] == []
