"""What the OpenAPI document promises, for every operation there is."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_app import Api, running_api

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
async def document(api: Api) -> dict[str, Any]:
    return (await api.http.get("/schema/openapi.json")).json()


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


async def test_every_contracted_path_is_there(document: dict[str, Any]) -> None:
    assert {
        "GET /api/v1/health",
        "GET /api/v1/health/live",
        "GET /api/v1/health/ready",
        "GET /health",
        "GET /metrics",
        "POST /api/internal/runtime/register",
        "DELETE /api/internal/runtime/{runtime_id}",
        "GET /api/v1/runtimes",
        "GET /api/v1/models",
        "POST /api/v1/models/{name}/load",
        "POST /api/v1/models/{name}/unload",
        "POST /api/v1/infer/{model}",
        "GET /api/v1/cameras",
        "POST /api/v1/cameras",
        "GET /api/v1/cameras/{camera_id}",
        "PUT /api/v1/cameras/{camera_id}",
        "DELETE /api/v1/cameras/{camera_id}",
        "POST /api/v1/cameras/{camera_id}/frames",
        "GET /api/v1/cameras/{camera_id}/rules",
        "POST /api/v1/cameras/{camera_id}/rules",
        "GET /api/v1/cameras/{camera_id}/rules/{rule_id}",
        "PUT /api/v1/cameras/{camera_id}/rules/{rule_id}",
        "DELETE /api/v1/cameras/{camera_id}/rules/{rule_id}",
        "GET /api/v1/violations",
        "GET /api/v1/violations/{violation_id}",
        "PATCH /api/v1/violations/{violation_id}",
        "GET /api/v1/violations/{violation_id}/evidence.jpg",
        "GET /api/v1/events",
    } <= {name for name, _ in _operations(document)}


async def test_every_operation_has_its_own_id_a_summary_and_a_known_tag(document: dict[str, Any]) -> None:
    operations = dict(_operations(document))
    known_tags = {tag["name"] for tag in document["tags"]}
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)
    assert [name for name, operation in operations.items() if not operation.get("summary")] == []
    assert [name for name, operation in operations.items() if not set(operation.get("tags", [])) <= known_tags] == []
    assert all(operation.get("tags") for operation in operations.values())


async def test_every_error_is_documented_as_problem_details(document: dict[str, Any]) -> None:
    health = {"GET /api/v1/health", "GET /api/v1/health/ready"}
    wrong = [
        (name, status)
        for name, operation in _operations(document)
        for status, response in operation["responses"].items()
        if status >= "400" and name not in health and set(response["content"]) != {"application/problem+json"}
    ]
    assert wrong == []


async def test_an_operation_with_an_id_can_be_not_found_and_one_with_a_body_invalid(document: dict[str, Any]) -> None:
    for name, operation in _operations(document):
        if "_id}" in name:
            assert "404" in operation["responses"], name
        if "requestBody" in operation:
            assert {"400", "422"} <= operation["responses"].keys(), name


async def test_a_rule_is_described_with_its_type_and_limits(document: dict[str, Any]) -> None:
    schema = next(schema for name, schema in document["components"]["schemas"].items() if name.endswith("ZonePresence"))
    assert schema["properties"]["type"]["const"] == "zone_presence"
    assert schema["properties"]["min_duration_s"]["maximum"] == 86400
    assert {"zone", "labels", "min_score", "max_gap_s", "anchor"} <= schema["properties"].keys()


async def test_every_list_is_a_page_of_a_named_kind_of_item(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    pages = {name: schema for name, schema in schemas.items() if name.endswith("Page")}
    nouns = ("Audit", "Camera", "DeadLetter", "Model", "Rule", "Runtime", "Violation", "Webhook")
    assert pages.keys() == {f"{noun}Page" for noun in nouns}
    assert all(schema["properties"].keys() == {"items", "next_cursor"} for schema in pages.values())
    assert all("$ref" in schema["properties"]["items"]["items"] for schema in pages.values())


async def test_the_document_is_at_schema_itself_and_no_page_there_needs_the_internet(
    api: Api, document: dict[str, Any]
) -> None:
    assert (await api.http.get("/schema")).json() == document
    for page in ("swagger", "redoc", "elements", "rapidoc", "scalar"):
        assert (await api.http.get(f"/schema/{page}")).status_code == 404


async def test_an_events_payload_is_an_object(document: dict[str, Any]) -> None:
    payload = document["components"]["schemas"]["Event"]["properties"]["payload"]

    assert payload["type"] == "object"
