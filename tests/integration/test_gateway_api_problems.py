"""Errors over HTTP: one form for all of them."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway import errors
from gateway.api.problems import PROBLEMS, kind_of
from gateway.logs import configure_logging
from tests.support.api_app import Api, a_violation, running_api

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)


def _subclasses(cls: type[errors.RuthError]) -> Iterator[type[errors.RuthError]]:
    yield cls
    for subclass in cls.__subclasses__():
        yield from _subclasses(subclass)


def test_every_error_of_the_gateway_has_its_problem() -> None:
    ours = {cls for cls in _subclasses(errors.RuthError) if cls.__module__ == errors.__name__}
    assert ours == set(PROBLEMS)


def test_an_error_derived_elsewhere_is_the_problem_of_what_it_derives_from() -> None:
    class OutOfDiskError(errors.SpoolError):
        pass

    assert kind_of(OutOfDiskError()) == PROBLEMS[errors.SpoolError]


def test_no_two_kinds_of_problem_share_a_name() -> None:
    names = [kind.name for kind in PROBLEMS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/api/v1/nothing", b"", 404),
        ("GET", "/", b"", 404),
        ("POST", "/api/v1/violations", b"", 405),
        ("POST", "/api/v1/cameras", b"{", 400),
        ("POST", "/api/v1/cameras", b"\xff\xfe", 400),
        ("POST", "/api/v1/cameras", b"", 422),
        ("POST", "/api/v1/cameras", b"[]", 422),
        ("POST", "/api/v1/cameras", b'{"name": "x", "url": "demo:", "model": "people", "colour": 1}', 422),
        ("POST", "/api/v1/cameras", b'{"name": "x", "url": "demo:", "model": "../etc"}', 422),
        ("POST", "/api/v1/cameras", b'"' + b"x" * 1_000_001 + b'"', 413),
        ("GET", "/api/v1/cameras/..%2F..%2Fetc", b"", 404),
        ("GET", "/api/v1/cameras/a%00b", b"", 422),
        ("GET", "/api/v1/events", b"", 422),
    ],
)
async def test_a_bad_request_is_answered_with_problem_details(
    api: Api, method: str, path: str, content: bytes, status: int
) -> None:
    answer = await api.http.request(method, path, content=content, headers={"Last-Event-ID": "not a number"})
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert {"type", "title", "status", "detail", "instance"} <= problem.keys()
    assert problem["type"].startswith("urn:problem-type:ruth-ai:")


async def test_every_field_that_can_not_be_used_is_named(api: Api) -> None:
    body = {"name": "x", "url": "demo:", "model": "people", "fps": -1}
    problem = (await api.http.post("/api/v1/cameras", json=body)).json()
    assert [error["field"] for error in problem["errors"]] == ["fps"]
    assert "fps" in problem["detail"]


async def test_a_bug_shows_no_internals_but_leads_to_its_traceback_in_the_log(
    api: Api, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[object]:
        raise KeyError("rtsp://admin:hunter2@cam")

    monkeypatch.setattr(api.control, "runtimes", broken)
    headers = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
    answer = await api.http.get("/api/v1/runtimes", headers=headers)
    assert answer.status_code == 500
    assert (answer.json()["trace_id"], answer.headers["x-trace-id"]) == (TRACE_ID, TRACE_ID)
    assert "KeyError" not in answer.text
    (line,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] == "error"]
    assert (line["trace_id"], line["message"]) == (TRACE_ID, "unexpected error in GET /api/v1/runtimes")
    assert "KeyError" in line["exception"]
    assert "hunter2" not in log.getvalue()


@pytest.mark.parametrize("traceparent", ["", "00-xyz", f"ff-{TRACE_ID}-00f067aa0ba902b7-01", f"00-{'0' * 32}-1-01"])
async def test_a_trace_that_is_not_valid_is_replaced_by_a_new_one(api: Api, traceparent: str) -> None:
    answer = await api.http.get("/health", headers={"traceparent": traceparent})
    assert len(answer.headers["x-trace-id"]) == 32
    assert answer.headers["x-trace-id"] not in (TRACE_ID, "0" * 32)


async def test_a_database_that_is_away_is_a_503_not_a_500(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: str) -> object:
        raise errors.DatabaseError("can't connect to postgresql://ruth:hunter2@db/ruth")

    monkeypatch.setattr(api.store, "violation", away)
    answer = await api.http.get(f"/api/v1/violations/{a_violation().id}")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "can't connect to postgresql://ruth:***@db/ruth"
