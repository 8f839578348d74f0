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


@pytest.mark.parametrize("path", ["/api/v1/cameras", "/api/v1/events", "/metrics", "/schema", "/api/v1/health/live"])
async def test_a_name_that_another_site_can_lead_here_is_refused_with_the_setting_that_allows_it(api, path):
    answer = await api.http.get(path, headers={"Host": "evil.test:8080"})
    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
    assert answer.json()["type"] == "urn:problem-type:ruth-ai:misdirected-request"
    assert "'evil.test:8080'" in answer.json()["detail"]
    assert "RUTH_AI_ALLOWED_HOSTS" in answer.json()["detail"]


async def test_a_change_under_such_a_name_changes_nothing_though_the_origin_is_the_same(api):
    headers = {"Host": "evil.test:8080", "Origin": "http://evil.test:8080", "Sec-Fetch-Site": "same-origin"}
    assert (await api.http.post("/api/v1/cameras", json=CAMERA, headers=headers)).status_code == 421
    assert (await api.http.get("/api/v1/cameras")).json()["items"] == []


async def test_names_that_an_operator_allows_are_answered(tmp_path):
    async with running_api(tmp_path, allowed_hosts=frozenset({"ruth.example.org"})) as api:
        for host, status in (("ruth.example.org:8080", 200), ("[::1]:8080", 200), ("evil.test", 421)):
            assert (await api.http.get("/api/v1/cameras", headers={"Host": host})).status_code == status


async def test_a_request_that_names_no_host_is_answered(api):
    request = api.http.build_request("GET", "/api/v1/health/live")
    del request.headers["Host"]
    assert (await api.http.send(request)).status_code == 200
