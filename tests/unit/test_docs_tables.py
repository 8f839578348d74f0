"""The tables of the guides say what the code does."""

import re
from pathlib import Path

import msgspec
import pytest
import triton_agent

from gateway.api.problems import INTERNAL, PROBLEMS, UNREADABLE
from gateway.domain.capability import DEFAULT_ADAPTATION
from gateway.domain.definitions import Definition, ZoneDefinition
from gateway.rules.kinds import KINDS
from gateway.scheduler.core import DropCause
from gateway.settings import VARIABLES, Profile, Settings, load_settings
from tests.support.api_app import running_api

CHECKOUT = Path(__file__).resolve().parents[2]
OPERATIONS = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES = (CHECKOUT / "docs" / "rules.md").read_text(encoding="utf-8")
API = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")


def table(text: str, after: str) -> list[list[str]]:
    """Cells of the first table at or behind some text, without its head."""
    rows: list[list[str]] = []
    for line in text[text.index(after) :].splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif rows:
            break
    return rows[2:]


def names(cell: str) -> list[str]:
    """What stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_setting_of_the_gateway_is_documented_with_its_default():
    documented = {
        names(key)[0]: (names(variable)[0], "".join(names(default)) or None)
        for variable, key, default, _ in table(OPERATIONS, "<!-- gateway settings:")
    }
    defaults = msgspec.structs.asdict(Settings())
    assert documented == {
        key: (variable, str(defaults[key]) if defaults[key] not in (None, "") else None)
        for key, variable in VARIABLES.items()
    }


def test_every_variable_of_the_agent_is_documented():
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(triton_agent.__path__[0]).glob("*.py"))
    read = set(re.findall(r'"((?:AI_RUNTIME|RUTH)_[A-Z_]+)"', sources))
    documented = [names(row[0])[0] for row in table(OPERATIONS, "<!-- agent settings:")]
    assert sorted(documented) == sorted(read)


def test_the_adaptation_table_is_the_one_in_the_code():
    documented = {names(kind)[0]: limits for kind, *limits in table(OPERATIONS, "<!-- adaptation:")}
    words = {"max_fps": "declared", "max_camera_fps": "no cap", "batch_size": "declared"}
    assert documented == {
        kind: [words[name] if value is None else f"{value:g}" for name, value in msgspec.structs.asdict(row).items()]
        for kind, row in DEFAULT_ADAPTATION.items()
    }


def test_every_cause_of_a_drop_is_documented():
    assert [names(row[0])[0] for row in table(OPERATIONS, "<!-- drop causes:")] == list(DropCause)


async def test_every_metric_is_documented_with_its_labels(tmp_path: Path):
    documented = [names(row[0])[0] for row in table(OPERATIONS, "<!-- metrics:")]
    async with running_api(tmp_path) as api:
        exposed = (await api.http.get("/metrics")).text
    families = re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", exposed, re.MULTILINE)
    assert sorted(documented) == sorted(name for name in families if not name.endswith("_created"))


async def test_every_route_is_documented(tmp_path: Path):
    documented = {name for row in table(API, "| Path | Methods") for name in names(row[0])}
    async with running_api(tmp_path) as api:
        served = set((await api.http.get("/schema/openapi.json")).json()["paths"])
    assert documented == served | {"/api/v1/ws"}, "OpenAPI has no place for a WebSocket"


def test_every_kind_of_problem_is_documented_with_its_status():
    documented = {name: int(status) for kinds, status, _ in table(API, "| Kind | Status") for name in names(kinds)}
    kinds = {*PROBLEMS.values(), INTERNAL, UNREADABLE}
    assert documented == {kind.name: int(kind.status) for kind in kinds}


def fields(definition: type[Definition]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(definition)]


def test_every_type_of_rule_is_documented_with_the_fields_of_its_own():
    common = {*fields(ZoneDefinition)}
    documented = {names(kind)[0]: own for kind, _, own in table(RULES, "<!-- rule types:")}
    types = {kind.type: set(fields(kind)) - common for kind in KINDS}
    assert documented.keys() == types.keys()
    for kind, own in types.items():
        assert own <= set(names(documented[kind])), kind


def test_every_field_that_rules_have_in_common_is_documented():
    heads = ("| Field of every definition", "| Field of rules about objects", "| Field of rules with a zone")
    documented = [names(row[0])[0] for head in heads for row in table(RULES, head)]
    assert documented == fields(ZoneDefinition)


def test_the_example_configuration_and_environment_are_accepted():
    settings = load_settings(CHECKOUT / "ruth.example.toml", {}, CHECKOUT / ".env.example")
    assert settings.profile is Profile.DEV
    assert settings.adaptation == DEFAULT_ADAPTATION


@pytest.mark.parametrize("document", sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]), ids=str)
def test_links_between_documents_lead_somewhere(document: Path):
    text = document.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        path = (document.parent / target) if target else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings]
