"""What another web site's page may have a browser send."""

import pytest

from tests.support.api_app import running_api

CAMERA = {"name": "gate", "url": "demo:", "model": "people"}


@pytest.fixture
async def api(tmp_path):
    async with running_api(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_change_that_another_site_asks_for_is_refused_and_changes_nothing(api, headers):
    answer = await api.http.post("/api/v1/cameras", json=CAMERA, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["status"] == 403
    assert (await api.http.get("/api/v1/cameras")).json()["items"] == []


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
async def test_a_change_by_a_program_or_our_own_page_is_taken(api, headers):
    assert (await api.http.post("/api/v1/cameras", json=CAMERA, headers=headers)).status_code == 201


async def test_reading_is_not_refused(api):
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert (await api.http.get("/api/v1/cameras", headers=headers)).status_code == 200


async def test_a_body_that_is_not_declared_as_json_is_refused_with_what_would_do(api):
    headers = {"Content-Type": "text/plain"}
    answer = await api.http.post(
        "/api/v1/cameras", content='{"name":"gate","url":"demo:","model":"p"}', headers=headers
    )
    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]
