"""What a start takes: only what its settings need."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.contract_models import publish_blind
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, free_ports, running_triton

LEFT_OUT = {"black", "grpc", "httpx", "piccolo.apps.migrations.auto", "pydantic", "redis", "tritonclient"}


def test_the_service_is_imported_without_what_only_some_settings_need() -> None:
    command = [sys.executable, "-c", "import json, sys, gateway.app; print(json.dumps([*sys.modules]))"]
    imported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert LEFT_OUT.intersection(imported) == set()


def test_a_server_that_is_away_is_no_reason_to_import_grpc() -> None:
    program = """
import asyncio, sys
from gateway.errors import RuntimeUnavailableError
from gateway.inference import Link
try:
    asyncio.run(Link("127.0.0.1:1", "http://127.0.0.1:1").choose())
except RuntimeUnavailableError as error:
    print(error, "grpc" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert "can't be reached" in said
    assert said.endswith("False\n")


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    with running_gateway(tmp_path / "gateway") as gateway:
        return gateway.data_dir


def test_a_gateway_that_serves_has_neither_grpc_nor_pydantic_nor_migrations_in_memory(
    migrated: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    publish_blind(repository, "blind")
    (port,) = free_ports(1)
    with (
        running_triton(repository, gateway=f"http://127.0.0.1:{port}"),
        running_gateway(migrated, port=port) as gateway,
    ):
        eventually(lambda: gateway.send("GET", "/api/v1/health/ready")[0] == 200, 20)
        (runtime,) = gateway.get("/api/v1/health")["components"]["ai_runtime"]["transport"].values()
        libraries = Path(f"/proc/{gateway.process.pid}/maps").read_text()
    assert runtime == "system_shared_memory"
    assert "/cv2/" in libraries, "what is used is seen"
    assert [name for name in ("/grpc/", "/pydantic_core/", "/black/") if name in libraries] == []
