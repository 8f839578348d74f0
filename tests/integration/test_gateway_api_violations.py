"""Violations and their evidence over HTTP."""

import datetime as dt
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.domain.event import EventType
from gateway.domain.violation import Evidence
from gateway.events.follow import follow
from gateway.store.tables import TwinRow
from tests.support.api_app import NOON, Api, a_violation, running_api

PATH = "/api/v1/violations"
PICTURE = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path) as running:
        yield running


async def test_pages_follow_each_other_newest_first_without_gap_or_double(api: Api) -> None:
    ids = []
    for _ in range(7):
        violation = a_violation()
        await api.record(violation)
        ids.insert(0, violation.id)
    seen: list[str] = []
    cursor: str | None = None
    for expected in (3, 3, 1):
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await api.http.get(PATH, params=params)).json()
        assert len(page["items"]) == expected
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (ids, None)


async def test_a_page_that_is_just_full_is_the_last_one(api: Api) -> None:
    await api.record(a_violation())
    assert (await api.http.get(PATH, params={"limit": 1})).json()["next_cursor"] is None


async def test_filters_narrow_the_list(api: Api) -> None:
    await api.record(a_violation(camera_id="a", started_at=NOON))
    await api.record(a_violation(camera_id="b", started_at=NOON + dt.timedelta(hours=1)))

    async def cameras(**params: str) -> list[str]:
        answer = await api.http.get(PATH, params=params)
        assert answer.status_code == 200, answer.text
        return [item["camera_id"] for item in answer.json()["items"]]

    assert await cameras() == ["b", "a"]
    assert await cameras(camera_id="a") == ["a"]
    assert await cameras(**{"from": "2026-01-31T13:00:00Z"}) == ["b"]
    assert await cameras(to="2026-01-31T14:00:00+01:00") == ["a"]
    assert await cameras(type="zone_presence", status="open") == ["b", "a"]
    assert await cameras(type="line_crossing") == []
    assert await cameras(status="resolved") == []


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2026-01-31T13:00:00"},
        {"to": "yesterday"},
        {"status": "forgotten"},
        {"limit": "0"},
        {"limit": "501"},
        {"cursor": "1 OR 1=1"},
    ],
)
async def test_a_parameter_that_can_not_be_used_is_refused(api: Api, params: dict[str, str]) -> None:
    answer = await api.http.get(PATH, params=params)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert next(iter(params)) in answer.text


async def test_a_violation_is_shown_with_its_provenance(api: Api) -> None:
    violation = a_violation()
    await api.record(violation)
    shown = (await api.http.get(f"{PATH}/{violation.id}")).json()
    assert shown["started_at"] == "2026-01-31T12:00:00Z"
    assert (shown["model"], shown["model_sha256"], shown["rule_revision"]) == ("people", "ab" * 32, 1)
    assert (await api.http.get(f"{PATH}/{a_violation().id}")).status_code == 404


async def test_a_person_acknowledges_a_violation_and_listeners_hear_of_it(api: Api) -> None:
    violation = a_violation()
    await api.record(violation)
    events = follow(api.store, api.bus, 1)
    answer = await api.http.patch(f"{PATH}/{violation.id}", json={"status": "acknowledged", "note": "seen"})
    assert (answer.json()["status"], answer.json()["note"]) == ("acknowledged", "seen")
    assert (await anext(events)).type is EventType.VIOLATION_UPDATED
    assert (await api.http.get(PATH, params={"status": "acknowledged"})).json()["items"] == [answer.json()]


@pytest.mark.parametrize("body", [{}, {"status": "forgotten"}, {"score": 1}, {"note": "x" * 4001}, []])
async def test_a_patch_that_can_not_be_used_changes_nothing(api: Api, body: object) -> None:
    violation = a_violation()
    await api.record(violation)
    assert (await api.http.patch(f"{PATH}/{violation.id}", json=body)).status_code == 422
    assert (await api.store.violation(violation.id)).updated_at == violation.updated_at


async def test_evidence_comes_as_it_was_hashed_and_is_asked_for_anew(api: Api) -> None:
    sha256 = await api.evidence.put("gate/1.jpg", PICTURE)
    violation = a_violation(evidence=Evidence(name="gate/1.jpg", sha256=sha256))
    await api.record(violation)
    path = f"{PATH}/{violation.id}/evidence.jpg"
    answer = await api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert hashlib.sha256(answer.content).hexdigest() == sha256
    assert "no-cache" in answer.headers["cache-control"]
    again = await api.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", f'"{sha256}"')


async def test_missing_evidence_is_not_found_and_the_reason_is_told(api: Api) -> None:
    violation = a_violation(evidence=Evidence(missing_reason="the disk was full"))
    await api.record(violation)
    answer = await api.http.get(f"{PATH}/{violation.id}/evidence.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "the disk was full" in answer.json()["detail"]


async def test_evidence_whose_file_is_gone_is_not_found(api: Api) -> None:
    violation = a_violation(evidence=Evidence(name="gate/2.jpg", sha256="cd" * 32))
    await api.record(violation)
    assert (await api.http.get(f"{PATH}/{violation.id}/evidence.jpg")).status_code == 404


@pytest.mark.parametrize("kind", ["evidence", "clean_evidence", "clip"])
async def test_evidence_that_was_altered_is_not_shown(api: Api, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    sha256 = await api.evidence.put("gate/3", PICTURE)
    violation = a_violation(**{kind: Evidence(name="gate/3", sha256=sha256)})
    await api.record(violation)
    await api.evidence.put("gate/3", PICTURE + b"!")
    file = {"evidence": "evidence.jpg", "clean_evidence": "clean.jpg", "clip": "clip.mp4"}[kind]
    answer = await api.http.get(f"{PATH}/{violation.id}/{file}", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")
    assert answer.json()["type"].endswith(":evidence-altered")
    assert sha256 in answer.json()["detail"]
    assert "etag" not in answer.headers
    assert "evidence was altered" in caplog.text


async def test_the_clean_picture_has_an_address_of_its_own(api: Api) -> None:
    sha256 = await api.evidence.put("gate/1-clean.jpg", PICTURE)
    violation = a_violation(clean_evidence=Evidence(name="gate/1-clean.jpg", sha256=sha256))
    await api.record(violation)
    answer = await api.http.get(f"{PATH}/{violation.id}/clean.jpg")
    assert (answer.status_code, answer.content) == (200, PICTURE)


async def test_the_audit_names_people_or_where_they_called_from(api: Api) -> None:
    violation = a_violation()
    await api.record(violation)
    path = f"{PATH}/{violation.id}"
    await api.http.patch(path, json={"status": "acknowledged", "by": "Ana"})
    await api.http.patch(path, json={"status": "dismissed", "note": "a coat"})
    items = (await api.http.get(f"{path}/audit")).json()["items"]
    assert [(item["actor"], item["action"], item["note"]) for item in items] == [
        ("gateway", "created", ""),
        ("Ana", "acknowledged", ""),
        ("unnamed, at 127.0.0.1", "dismissed", ""),
        ("unnamed, at 127.0.0.1", "noted", "a coat"),
    ]
    assert (await api.http.get(f"{PATH}/none/audit")).status_code == 404
    assert (await api.http.patch(path, json={"by": "Ana"})).status_code == 422


async def test_the_id_of_a_part_that_another_replica_recorded_leads_to_the_violation(api: Api) -> None:
    violation, twin = a_violation(), a_violation()
    await api.record(violation)
    await TwinRow.insert(TwinRow(id=twin.id, violation_id=violation.id))
    path = f"{PATH}/{twin.id}"
    patched = await api.http.patch(path, json={"status": "acknowledged", "by": "Ana"})
    assert (patched.status_code, patched.json()["id"]) == (200, violation.id)
    assert (await api.http.get(path)).json() == patched.json()
    for each in (path, f"{PATH}/{violation.id}"):
        items = (await api.http.get(f"{each}/audit")).json()["items"]
        assert [item["action"] for item in items] == ["created", "acknowledged"]


@pytest.mark.parametrize(
    ("wanted", "status", "part", "content_range"),
    [
        (None, 200, slice(0, 10), None),
        ("bytes=0-", 206, slice(0, 10), "bytes 0-9/10"),
        ("bytes=2-4", 206, slice(2, 5), "bytes 2-4/10"),
        ("bytes=-3", 206, slice(7, 10), "bytes 7-9/10"),
        ("bytes=-30", 206, slice(0, 10), "bytes 0-9/10"),
        ("bytes=8-90", 206, slice(8, 10), "bytes 8-9/10"),
        ("bytes=10-", 416, slice(0, 0), "bytes */10"),
        ("bytes=-0", 416, slice(0, 0), "bytes */10"),
        ("bytes=4-2", 200, slice(0, 10), None),
        (f"bytes={'9' * 5000}-", 200, slice(0, 10), None),
        (f"bytes=8-{'9' * 18}", 206, slice(8, 10), "bytes 8-9/10"),
        ("bytes=0-1,3-4", 200, slice(0, 10), None),
        ("lines=1-2", 200, slice(0, 10), None),
    ],
)
async def test_players_may_ask_for_parts_of_a_clip(
    api: Api, wanted: str | None, status: int, part: slice, content_range: str | None
) -> None:
    film = b"0123456789"
    sha256 = await api.evidence.put("gate/clip.mp4", film)
    violation = a_violation(clip=Evidence(name="gate/clip.mp4", sha256=sha256))
    await api.record(violation)
    headers = {"Range": wanted} if wanted else {}
    answer = await api.http.get(f"{PATH}/{violation.id}/clip.mp4", headers=headers)
    assert answer.status_code == status
    assert answer.headers.get("content-range") == content_range
    if status != 416:
        assert (answer.content, answer.headers["content-type"]) == (film[part], "video/mp4")


@pytest.mark.parametrize(
    ("if_range", "status"),
    [("{etag}", 206), ('"another"', 200), ("W/{etag}", 200), ("Sat, 31 Jan 2026 12:00:00 GMT", 200)],
)
async def test_a_download_is_gone_on_with_only_of_the_same_clip(api: Api, if_range: str, status: int) -> None:
    sha256 = await api.evidence.put("gate/clip.mp4", b"0123456789")
    violation = a_violation(clip=Evidence(name="gate/clip.mp4", sha256=sha256))
    await api.record(violation)
    headers = {"Range": "bytes=5-", "If-Range": if_range.format(etag=f'"{sha256}"')}
    answer = await api.http.get(f"{PATH}/{violation.id}/clip.mp4", headers=headers)
    assert (answer.status_code, answer.content) == (status, b"56789" if status == 206 else b"0123456789")


async def test_a_caller_that_has_any_version_of_a_picture_is_sent_none(api: Api) -> None:
    sha256 = await api.evidence.put("gate/1.jpg", PICTURE)
    violation = a_violation(evidence=Evidence(name="gate/1.jpg", sha256=sha256))
    await api.record(violation)
    answer = await api.http.get(f"{PATH}/{violation.id}/evidence.jpg", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.content) == (304, b"")
