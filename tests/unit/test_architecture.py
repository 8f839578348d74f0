"""The architecture's rules hold, and each of their checks fails when its rule is broken."""

import ast
import configparser
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / ".importlinter"
PACKAGES = {
    "gateway": ROOT / "gateway",
    "converters": ROOT / "converters",
    "triton_agent": ROOT / "triton" / "agent" / "triton_agent",
}
LINT = Path(sys.executable).parent / "lint-imports"

GATEWAY = "The gateway's layers import downwards only"
CONVERTERS = "The converters' layers import downwards only"
AGENT = "The agent's layers import downwards only"
INDEPENDENT = "The three programs import nothing of each other"
NO_FRAMEWORKS = "The gateway imports no framework, compiler or hardware library"
PURE = "What decides from values talks to nothing and waits for nothing"
TRITON = "Only the inference adapter knows Triton"
NO_GPU = "The converters can be imported where there is no GPU"

BREACHES = [
    (GATEWAY, "gateway/domain/clock.py", "import gateway.settings"),
    (GATEWAY, "gateway/errors.py", "import gateway.domain.frame"),
    (GATEWAY, "gateway/sources/file.py", "import gateway.inference"),
    (GATEWAY, "gateway/store/spool.py", "import gateway.events.bus"),
    (GATEWAY, "gateway/directory/memory.py", "import gateway.events.bus"),
    (GATEWAY, "gateway/redis_link.py", "import gateway.directory"),
    (GATEWAY, "gateway/rules/zone.py", "import gateway.evidence"),
    (GATEWAY, "gateway/sampling.py", "def late() -> None:\n    import gateway.pipeline"),
    (GATEWAY, "gateway/pipeline/core.py", "import gateway.api.problems"),
    (GATEWAY, "gateway/api/cameras.py", "import gateway.app"),
    (GATEWAY, "gateway/unplaced.py", ""),
    (CONVERTERS, "converters/spec.py", "import converters.publish"),
    (CONVERTERS, "converters/fuse.py", "import converters.families"),
    (CONVERTERS, "converters/unplaced.py", ""),
    (AGENT, "triton_agent/settings.py", "import triton_agent.server"),
    (AGENT, "triton_agent/unplaced.py", ""),
    (INDEPENDENT, "gateway/app/serving.py", "import converters.spec"),
    (INDEPENDENT, "triton_agent/agent.py", "import gateway.domain.capability"),
    (INDEPENDENT, "converters/trial.py", "import triton_agent.server"),
    (NO_FRAMEWORKS, "gateway/evidence/picture.py", "import torch"),
    (NO_FRAMEWORKS, "gateway/inference/runtime.py", "import onnxruntime"),
    (NO_FRAMEWORKS, "gateway/health.py", "import pynvml"),
    (NO_FRAMEWORKS, "gateway/app/serving.py", "def late() -> None:\n    import tensorrt"),
    (PURE, "gateway/domain/frame.py", "import cv2"),
    (PURE, "gateway/rules/zone.py", "import av"),
    (PURE, "gateway/sampling.py", "import asyncio"),
    (PURE, "gateway/scheduler/core.py", "import tritonclient.grpc"),
    (PURE, "gateway/domain/rule.py", "import piccolo.columns"),
    (PURE, "gateway/scheduler/window.py", "import litestar"),
    (TRITON, "gateway/pipeline/frames.py", "import tritonclient.grpc.aio"),
    (TRITON, "gateway/api/models.py", "import grpc"),
    (NO_GPU, "converters/verify.py", "import tensorrt"),
    (NO_GPU, "converters/cli.py", "def late() -> None:\n    import torch"),
]


def lint(folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [LINT, "--config", folder / ".importlinter", "--no-cache"],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("BROKEN" in done.stdout) == (done.returncode != 0), done.stdout + done.stderr
    return done.stdout


def broken(report: str) -> set[str]:
    return set(re.findall(r"^(.+) BROKEN(?: \(.+\))?$", report, re.MULTILINE))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three packages side by side, free to be broken; who breaks them mends them."""
    copied = tmp_path_factory.mktemp("copies")
    for name, folder in PACKAGES.items():
        shutil.copytree(folder, copied / name, ignore=shutil.ignore_patterns("__pycache__", "*.html", "static"))
    shutil.copy(CONFIG, copied)
    return copied


@contextlib.contextmanager
def added(path: Path, code: str) -> Iterator[None]:
    """Code at the end of a module, which may be a new one, during the block."""
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.write_text(f"{before or ''}\n{code}\n", encoding="utf-8")
    try:
        yield
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before, encoding="utf-8")


def test_the_import_contracts_hold(copies: Path):
    report = lint(copies)
    assert broken(report) == set(), report
    assert len(re.findall(r"^.+ KEPT(?: \(.+\))?$", report, re.MULTILINE)) == 8


@pytest.mark.parametrize(
    ("contract", "path", "code"), BREACHES, ids=[f"{path}: {code or 'new'}"[:60] for _, path, code in BREACHES]
)
def test_an_import_against_the_rules_is_found(copies: Path, contract: str, path: str, code: str):
    with added(copies / path, code):
        assert contract in broken(lint(copies))


def test_every_contract_has_a_breach_that_tests_it():
    config = configparser.ConfigParser()
    config.read(CONFIG)
    names = {config[section]["name"] for section in config.sections() if ":contract:" in section}
    assert names == {contract for contract, _, _ in BREACHES}


def test_every_module_has_a_layer():
    config = configparser.ConfigParser()
    config.read(CONFIG)
    layers = [section for section in config.sections() if config[section].get("type") == "layers"]
    assert {config[section]["containers"].strip() for section in layers} == set(PACKAGES)
    assert all(config[section]["exhaustive"] == "True" for section in layers)


# What imports can't show


def trees(*names: str) -> Iterator[tuple[str, ast.Module]]:
    """Every module of some packages as (path from the repository's root, syntax tree)."""
    for name in names:
        for path in sorted(PACKAGES[name].rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def reads_environment(tree: ast.Module) -> bool:
    """Whether a module looks at `os.environ` or `os.getenv`; setting a variable for a library is no reading."""
    written = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
    }
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and id(node) not in written)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and any(a.name == "environ" for a in node.names))
        for node in ast.walk(tree)
    )


def asks_for_hardware(tree: ast.Module) -> bool:
    """Whether a module names kinds of hardware, or decides by what was declared of it."""
    facts = {"hardware_type", "supports_gpu", "gpu_name", "gpu_memory_mb", "cuda_version"}
    decided: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "HardwareType":
            return True
        if isinstance(node, ast.Compare) and not all(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
            decided.append(node)
        elif isinstance(node, ast.Match):
            decided.append(node.subject)
        elif isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare):
            decided.append(node.test)
    return any(isinstance(n, ast.Attribute) and n.attr in facts for part in decided for n in ast.walk(part))


def prints(tree: ast.Module) -> bool:
    """Whether a module prints."""
    return any(
        isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print" for n in ast.walk(tree)
    )


def reads_a_clock(tree: ast.Module) -> bool:
    """Whether a module asks the machine for the time instead of being told."""
    calls = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]
    return any(
        call.attr in ("now", "utcnow", "today", "monotonic", "perf_counter", "time", "sleep")
        and isinstance(call.value, ast.Name | ast.Attribute)
        and ast.unparse(call.value) in ("time", "datetime", "dt", "dt.datetime", "datetime.datetime", "dt.date")
        for call in calls
    )


def test_the_environment_is_read_in_the_settings_alone():
    assert {path for path, tree in trees("gateway") if reads_environment(tree)} == {"gateway/settings.py"}


def test_hardware_is_known_to_the_adaptation_table_alone():
    knowing = {path for path, tree in trees("gateway") if asks_for_hardware(tree)}
    assert knowing <= {"gateway/domain/capability.py", "gateway/settings.py"}


def test_only_command_lines_print():
    assert {path for path, tree in trees("gateway") if prints(tree)} == {"gateway/cli.py"}


def test_the_gateway_is_told_the_time():
    reading = {path for path, tree in trees("gateway") if reads_a_clock(tree)}
    assert reading <= {"gateway/domain/clock.py"}


@pytest.mark.parametrize(
    ("check", "code", "found"),
    [
        (reads_environment, "import os\nx = os.environ['A']", True),
        (reads_environment, "import os\nx = os.getenv('A')", True),
        (reads_environment, "from os import environ", True),
        (reads_environment, "import os\nos.environ['A'] = 'b'", False),
        (asks_for_hardware, "if c.hardware_type == 'gpu': pass", True),
        (asks_for_hardware, "if c.supports_gpu: pass", True),
        (asks_for_hardware, "x = 1 if c.gpu_name else 2", True),
        (asks_for_hardware, "match c.hardware_type:\n    case 'gpu': pass", True),
        (asks_for_hardware, "x = HardwareType.GPU", True),
        (asks_for_hardware, "log(c.hardware_type.value)", False),
        (asks_for_hardware, "if c.hardware_type not in table: pass", False),
        (prints, "print(1)", True),
        (prints, "log.info(1)", False),
        (reads_a_clock, "import time\ntime.monotonic()", True),
        (reads_a_clock, "dt.datetime.now(dt.UTC)", True),
        (reads_a_clock, "clock.monotonic()", False),
    ],
)
def test_each_of_these_checks_sees_what_it_looks_for(check, code: str, found: bool):
    assert check(ast.parse(code)) == found


def test_triton_is_no_package_of_ours(tmp_path: Path):
    assert not list((ROOT / "triton").glob("*.py"))
    assert not (ROOT / "triton" / "agent" / "__init__.py").exists()
    code = "import importlib.util; print(importlib.util.find_spec('triton'))"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert str(ROOT / "triton") not in done.stdout


def test_a_gateway_image_gets_no_framework_and_each_program_has_its_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [
        re.split(r"[\[<>=!~;, ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        for requirement in [*project["dependencies"], *project["optional-dependencies"]["gateway"]]
    ]
    assert not [name for name in names if re.match(r"onnx|tensorrt|torch|nvidia|psutil|polygraphy|ruth-ai|cuda", name)]
    assert {"gateway", "convert", "agent"} <= set(project["optional-dependencies"])
