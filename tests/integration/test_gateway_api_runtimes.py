"""Runtimes, models, health and metrics over HTTP."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gateway.domain.camera import CameraState, CameraStatus
from gateway.errors import InferenceRejectedError, InferenceTimeoutError, RuntimeUnavailableError
from tests.support.api_app import Api, a_capability, a_violation, running_api

REGISTER = "/api/internal/runtime/register"
TOKEN = "correct horse battery staple"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def guarded_api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, runtime_token=TOKEN) as running:
        yield running


async def test_a_runtime_declares_itself_and_goes(api: Api) -> None:
    answer = await api.http.post(REGISTER, content=msgspec.json.encode(a_capability()))
    assert (answer.status_code, answer.json()) == (200, {"runtime_id": "triton-1", "heartbeat_interval_s": 5.0})
    (runtime,) = (await api.http.get("/api/v1/runtimes")).json()["items"]
    assert (runtime["capability"]["hardware_type"], runtime["limits"]["max_camera_fps"]) == ("cpu", 5.0)
    (model,) = (await api.http.get("/api/v1/models")).json()["items"]
    assert (model["name"], model["loaded_on"]) == ("people", ["triton-1"])
    assert (await api.http.delete("/api/internal/runtime/triton-1")).status_code == 204
    assert (await api.http.delete("/api/internal/runtime/triton-1")).status_code == 404
    assert (await api.http.get("/api/v1/runtimes")).json()["items"] == []


async def test_the_bare_declaration_of_the_seed_is_told_what_it_lacks(api: Api) -> None:
    answer = await api.http.post(REGISTER, json={"runtime_id": "a", "hardware_type": "tpu"})
    assert answer.status_code == 422
    assert "hardware_type" in answer.json()["errors"][0]["field"] or "required" in answer.json()["detail"]


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", "Bearer \xe9"])
async def test_without_the_right_token_no_runtime_registers(guarded_api: Api, authorization: str | None) -> None:
    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    answer = await guarded_api.http.post(REGISTER, content=b"not even json", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await guarded_api.http.delete("/api/internal/runtime/x", headers=headers)).status_code == 401
    assert guarded_api.control.registered == {}


async def test_with_the_right_token_a_runtime_registers(guarded_api: Api) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = await guarded_api.http.post(REGISTER, content=msgspec.json.encode(a_capability()), headers=headers)
    assert answer.status_code == 200


async def test_models_are_loaded_and_unloaded(api: Api) -> None:
    assert (await api.http.post("/api/v1/models/people/load")).status_code == 204
    assert api.control.loaded == ["people"]
    assert (await api.http.post("/api/v1/models/people/unload")).status_code == 204
    assert (await api.http.post("/api/v1/models/people/unload")).status_code == 404


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeUnavailableError("away"), 503), (InferenceTimeoutError("late"), 504), (InferenceRejectedError("no"), 502)],
)
async def test_what_the_runtimes_answer_to_a_load_is_passed_on(api: Api, error: Exception, status: int) -> None:
    api.control.error = error
    answer = await api.http.post("/api/v1/models/people/load")
    assert (answer.status_code, answer.json()["detail"]) == (status, str(error))


async def test_health_follows_the_parts(api: Api) -> None:
    degraded = await api.http.get("/api/v1/health")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    assert (await api.http.get("/api/v1/health/ready")).status_code == 503
    api.control.register(a_capability())
    healthy = (await api.http.get("/api/v1/health")).json()
    assert (healthy["status"], set(healthy["components"])) == ("healthy", {"database", "ai_runtime", "pipeline"})
    assert healthy["components"]["database"]["latency_ms"] > 0
    assert healthy["components"]["ai_runtime"]["hardware_type"] == "cpu"
    assert (await api.http.get("/api/v1/health/ready")).json() == {"ready": True, "reasons": []}
    api.control.fault_text = "the spool can't be synced"
    unhealthy = await api.http.get("/api/v1/health")
    assert (unhealthy.status_code, unhealthy.json()["status"]) == (503, "unhealthy")
    assert (await api.http.get("/api/v1/health/ready")).json()["reasons"] == ["pipeline: the spool can't be synced"]
    assert [(await api.http.get(path)).status_code for path in ("/health", "/api/v1/health/live")] == [200, 200]


async def test_metrics_tell_what_was_counted_and_what_is_the_case(api: Api) -> None:
    api.control.register(a_capability())
    settings = {"name": "Gate", "url": "demo:", "model": "people"}
    camera_id = (await api.http.post("/api/v1/cameras", json=settings)).json()["id"]
    api.control.statuses[camera_id] = CameraStatus(
        state=CameraState.LIVE, wanted_fps=10, granted_fps=7, achieved_fps=6.5
    )
    api.metrics.frame_dispatched(camera_id, "people")
    api.metrics.inference_succeeded("people", 0.02)
    await api.record(a_violation())
    answer = await api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    for line in (
        f'ruth_ai_streams_active{{camera_id="{camera_id}"}} 1.0',
        f'ruth_ai_stream_state{{camera_id="{camera_id}",state="live"}} 1.0',
        f'ruth_ai_stream_state{{camera_id="{camera_id}",state="retrying"}} 0.0',
        f'ruth_ai_camera_fps{{camera_id="{camera_id}",kind="granted"}} 7.0',
        f'ruth_ai_frame_queue_depth{{camera_id="{camera_id}"}} 0.0',
        f'ruth_ai_frames_dispatched_total{{camera_id="{camera_id}"}} 1.0',
        'ruth_ai_inference_requests_total{model_id="people"} 1.0',
        'ruth_ai_inference_latency_seconds_count{model_id="people"} 1.0',
        'ruth_ai_violations_by_status{status="open"} 1.0',
        'ruth_ai_component_health{component="database"} 1.0',
        "ruth_ai_inference_queue_depth 0.0",
    ):
        assert line in lines


async def test_metrics_come_as_openmetrics_to_who_asks_for_it(api: Api) -> None:
    api.metrics.frame_dropped("gate", 'a "quoted" cause\n')
    answer = await api.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"ruth_ai_frames_dropped", "ruth_ai_component_health"} <= families


async def test_metrics_still_count_while_the_database_is_broken(api: Api, tmp_path: Path) -> None:
    api.metrics.frame_dropped("gate", "stale")
    await api.store.close()
    (tmp_path / "ruth.db").write_bytes(b"no longer a database" * 100)
    text = (await api.http.get("/metrics")).text
    assert 'ruth_ai_component_health{component="database"} 0.0' in text
    assert re.search(r'ruth_ai_frames_dropped_total\{camera_id="gate",reason="stale"\} 1.0', text)
