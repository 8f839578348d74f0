"""`ruth-convert evaluate` on the photographs, with ground truth derived from the reference detections."""

import json

import pytest

from converters import evaluate as evaluation
from converters.cli import main

PICTURES = ("room_standing_reading_s1.jpg", "room_sitting_chair_s1.jpg", "store_aisle_3people.jpg", "empty_room.jpg")


@pytest.fixture
def evaluate(people_repository, data_dir, tmp_path, capsys):
    def run(truth, *arguments):
        path = tmp_path / "coco.json"
        path.write_text(truth if isinstance(truth, str) else json.dumps(truth))
        options = ["--annotations", str(path), "--images", str(data_dir / "images")]
        status = main(
            ["evaluate", "people", *options, "--repository", str(people_repository), "--json", *map(str, arguments)]
        )
        return status, json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def truth(data_dir):
    """People as a plain decoder finds them in the photographs, with a score of at least 0.4."""
    found = json.loads((data_dir / "reference_outputs.json").read_text())["yolox_nano_416"]["results"]
    people = [
        (index, row["box"])
        for index, name in enumerate(PICTURES)
        for row in found[name]
        if row["label"] == "person" and row["score"] >= 0.4
    ]
    return {
        "categories": [{"id": 7, "name": "person"}, {"id": 9, "name": "unicorn"}],
        "images": [{"id": 10 + index, "file_name": name} for index, name in enumerate(PICTURES)],
        "annotations": [
            {"id": number, "image_id": 10 + index, "category_id": 7, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            for number, (index, (x1, y1, x2, y2)) in enumerate(people)
        ],
    }


def test_the_people_of_the_photographs_are_found_where_the_reference_finds_them(evaluate, truth, tmp_path):
    page = tmp_path / "report.html"
    status, result = evaluate(truth, "--limits", "map50=0.99", "ap.person=0.9", "p95_ms=60000", "--html", page)
    assert (status, result["passed"]) == (0, True), result["verdicts"]
    assert result["map75"] > 0.99
    assert result["classes"][0]["objects"] == len(truth["annotations"]) > 3
    assert result["not_in_model"] == ["unicorn"]
    assert 0 < result["p50_ms"] <= result["p95_ms"]
    text = page.read_text()
    assert "<svg" in text
    assert "polyline" in text
    assert "http" not in text


def test_a_limit_that_is_missed_ends_with_1_and_says_so(evaluate, truth):
    for annotation in truth["annotations"]:
        annotation["bbox"][0] += annotation["bbox"][2]
    status, result = evaluate(truth, "--limits", "map50=0.5", "ap.person=0.0")
    assert (status, result["map50"] < 0.2) == (1, True)
    assert [verdict["passed"] for verdict in result["verdicts"]] == [False, True]


def broken(change):
    """A sound file with one thing changed."""
    value = {
        "categories": [{"id": 1, "name": "person"}],
        "images": [{"id": 1, "file_name": "empty_room.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5]}],
    }
    change(value)
    return value


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        ("not json", "not COCO's JSON"),
        ("[" * 100_000, "not COCO's JSON"),
        ("[]", "the file is not a JSON object"),
        ("{}", "categories is not a list"),
        (broken(lambda value: value["images"].clear()), "must be an image"),
        (broken(lambda value: value["images"][0].update(file_name="../../etc/passwd")), "outside the folder"),
        (broken(lambda value: value["images"][0].update(file_name="/etc/passwd")), "outside the folder"),
        (broken(lambda value: value["images"][0].update(file_name="absent.jpg")), "can't be read"),
        (broken(lambda value: value["images"][0].update(id="1")), "images[0].id"),
        (broken(lambda value: value["annotations"][0].update(image_id=5)), "annotations[0] speaks of image 5"),
        (broken(lambda value: value["annotations"][0].update(image_id=[5])), "annotations[0] speaks of image [5]"),
        (broken(lambda value: value["annotations"][0].update(bbox=[0, 0, -5, 5])), "annotations[0].bbox"),
        (broken(lambda value: value["annotations"][0].update(bbox=[0, 0, "a", 5])), "annotations[0].bbox"),
        (broken(lambda value: value["annotations"][0].update(bbox=[0, 0, 1e999, 5])), "annotations[0].bbox"),
        (broken(lambda value: value["annotations"][0].update(area="big")), "annotations[0].area"),
        (broken(lambda value: value["categories"][0].update(name="unicorn")), "none of the categories unicorn"),
        (broken(lambda value: value["categories"][0].update(name="\x1b[2J")), "categories[0].name"),
    ],
)
def test_annotations_that_can_not_be_are_refused_with_their_place(evaluate, truth, reason):
    status, result = evaluate(truth)
    assert status == 1
    assert reason in result["error"]


@pytest.mark.parametrize("limit", ["map50", "map50=much", "speed=3", "=1"])
def test_a_limit_that_is_none_ends_with_2(evaluate, limit):
    assert evaluate("{}", "--limits", limit)[0] == 2


@pytest.mark.parametrize("new", [True, False])
def test_what_can_not_be_answered_is_refused_before_a_picture_is_asked_about(
    evaluate, truth, tmp_path, monkeypatch, new
):
    monkeypatch.setattr(evaluation, "trial_server", None)
    status, result = evaluate(truth, "--limits", "map50=0.5", "ap.unicorn=0.1")
    assert (status, "no class for the limit ap.unicorn; there are: ap.person, map" in result["error"]) == (2, True)
    status, result = evaluate(truth, "--html", tmp_path / "absent/report.html")
    assert (status, "choose another --html" in result["error"]) == (1, True)
    page = tmp_path / "report.html"
    if not new:
        page.write_text("the one before")
    assert evaluate(truth, "--html", page, "--limits", "ap.unicorn=0.1")[0] == 2
    assert (page.read_text() if page.exists() else None) == (None if new else "the one before")


def test_a_report_behind_a_link_that_leads_nowhere_yet_leaves_the_link(evaluate, truth, tmp_path):
    link, page = tmp_path / "report.html", tmp_path / "page.html"
    link.symlink_to(page)
    assert evaluate(truth, "--html", link, "--limits", "ap.unicorn=0.1")[0] == 2
    assert (link.is_symlink(), page.exists()) == (True, False)
    assert evaluate(truth, "--html", link)[0] == 0
    assert link.is_symlink()
    assert "<svg" in page.read_text()
