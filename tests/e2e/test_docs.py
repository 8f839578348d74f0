"""Every command of the README and the guides is run as it is written, and prints what it is said to print."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.documented_commands import Shell, blocks, prints_as_documented
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import READY_TIMEOUT_S, eventually, free_ports, running_triton

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
LONG = {"converting"}
"""Documents whose commands take longer than a usual run should; what they do has tests of its own there."""

GATEWAY, TRITON = "localhost:8080", "localhost:8001"
"""Addresses as documents write them; what really runs is put in their place."""


@dataclass(frozen=True)
class Stack:
    """A running agent and gateway, and the model repository that the agent serves."""

    addresses: dict[str, str]
    repository: Path

    def actual(self, text: str) -> str:
        """A documented command with the addresses that are in use here."""
        for documented, address in self.addresses.items():
            text = text.replace(documented, address)
        return text

    def documented(self, text: str) -> str:
        """An output with the addresses that documents use."""
        for documented, address in self.addresses.items():
            text = text.replace(address, documented).replace(address.replace("localhost", "127.0.0.1"), documented)
        return text


@pytest.fixture(scope="session")
def stack(people_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("documented")
    repository = Path(shutil.copytree(people_repository, folder / "model_repository"))
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    env = {"RUTH_AI_WEBHOOK_NETWORKS": "127.0.0.0/8, ::1"}
    with (
        running_triton(repository, gateway=url) as triton,
        running_gateway(folder / "data", port=port, env=env) as gateway,
    ):
        eventually(lambda: gateway.send("GET", "/api/v1/health/ready")[0] == HTTPStatus.OK, READY_TIMEOUT_S)
        yield Stack(
            {GATEWAY: f"localhost:{port}", TRITON: triton.grpc_url.replace("127.0.0.1", "localhost")}, repository
        )


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """The programs that documents ask a reader to have; where one is absent a test is skipped, and fails in CI."""
    missing = [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]
    if missing:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"not installed: {', '.join(missing)}")


@pytest.fixture
def folder(tmp_path: Path, data_dir: Path, stack: Stack) -> Path:
    """What a reader is told to have at hand: a clip, two model files, photographs, the served repository."""
    shutil.copyfile(data_dir / "video" / "people_one_by_one_50s.mp4", tmp_path / "clip.mp4")
    shutil.copyfile(data_dir / "models" / "yolox_nano_416.onnx", tmp_path / "yolox_nano.onnx")
    shutil.copyfile(data_dir / "models" / "vww_person_96_float.onnx", tmp_path / "visual_wake.onnx")
    shutil.copytree(data_dir / "images", tmp_path / "photographs", copy_function=shutil.copyfile)
    (tmp_path / "model_repository").symlink_to(stack.repository)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "document",
    [
        pytest.param(document, id=document.stem, marks=[pytest.mark.slow] if document.stem in LONG else [])
        for document in DOCUMENTS
    ],
)
def test_commands_of_a_document_do_what_it_says(document: Path, folder: Path, stack: Stack):
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with Shell(folder, {"PATH": programs, "AI_RUNTIME_URL": stack.addresses[TRITON]}) as shell:
        for command in (command for block in blocks(document) if not block.not_run for command in block.commands):
            status, output = shell.run(stack.actual(command.text))
            shown = stack.documented(output)
            assert status == 0, f"{command.place}: $ {command.text}\nended with {status}:\n{shown}"
            if command.printed:
                assert prints_as_documented(command.printed, shown), (
                    f"{command.place}: $ {command.text}\nprinted\n{shown}\ninstead of\n{command.printed}"
                )


def test_few_commands_are_left_out_and_each_says_why():
    every = [block for document in DOCUMENTS for block in blocks(document)]
    left_out = [block for block in every if block.not_run is not None]
    assert len(left_out) <= len(every) / 3
    assert all(len(block.not_run or "") > 10 for block in left_out)
