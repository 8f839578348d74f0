"""What the agent measures on a real tritonserver, and when it leaves it be."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from tests.support.contract_models import HEIGHT, WIDTH, publish_blind, publish_failing
from tests.support.running_gateway import running_gateway
from tests.support.triton_models import census, publish
from tests.support.triton_server import eventually, running_triton


@pytest.fixture
def models(tmp_path):
    publish_blind(tmp_path / "models", "people")
    return tmp_path / "models"


def capabilities(triton, **env):
    """What `ruth-triton capabilities` says of a running server."""
    port = triton.http_url.rpartition(":")[2]
    command = [sys.executable, "-m", "triton_agent.cli", "capabilities", "--json", "--hardware=cpu"]
    done = subprocess.run(
        [*command, f"--http-port={port}"], env=os.environ | env, capture_output=True, check=True, timeout=60
    )
    return json.loads(done.stdout)


def declared(gateway):
    """What the only runtime of a gateway declared last."""
    return gateway.get("/api/v1/runtimes")["items"][0]["capability"]


@contextlib.contextmanager
def a_client_of(triton):
    """Somebody who calls a model all the time."""
    tensor = grpcclient.InferInput("frames", [1, HEIGHT * 3 // 2, WIDTH], "UINT8")
    tensor.set_data_from_numpy(np.zeros((1, HEIGHT * 3 // 2, WIDTH), np.uint8))
    calls, over = [0], threading.Event()

    def keep_calling():
        with grpcclient.InferenceServerClient(triton.grpc_url) as client:
            while not over.wait(0.05):
                client.infer("people", [tensor])
                calls[0] += 1

    thread = threading.Thread(target=keep_calling)
    thread.start()
    try:
        eventually(lambda: calls[0] > 2, 10)
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_model_is_measured_before_it_is_declared_and_again_when_it_was_loaded_anew(models, tmp_path):
    publish(models, "census", census())
    publish_failing(models, "broken")
    with (
        running_gateway(tmp_path / "gateway") as gateway,
        running_triton(models, measured=True, gateway=gateway.url) as triton,
    ):
        eventually(lambda: gateway.get("/api/v1/runtimes")["items"] and declared(gateway)["supported_models"], 30)
        first = declared(gateway)
        assert first["measured"].keys() == {"people"}, "one takes no frames, one fails"
        measured = first["measured"]["people"]
        assert measured["batch_size"] == 1
        assert measured["fps"] > 10
        assert 0 < measured["p95_ms"] < 1000
        assert first["max_fps"] == round(measured["fps"])
        assert "model not measured" in triton.log.read_text()
        (models / "people" / "1" / "model.onnx").touch()
        eventually(lambda: gateway.send("POST", "/api/v1/models/people/load")[0] == 204, 10)
        eventually(lambda: triton.log.read_text().count("model measured") == 2, 30)
        eventually(lambda: declared(gateway)["measured"].get("people", measured) != measured, 10)
    assert not list(Path("/dev/shm").glob("*measurement"))


def test_what_is_configured_is_declared_beside_what_was_measured(models):
    with running_triton(models) as triton:
        body = capabilities(triton, AI_RUNTIME_MAX_FPS="12", AI_RUNTIME_BATCH_SIZE="8")
    assert (body["max_fps"], body["inference_batch_size"]) == (12, 8)
    assert body["measured"]["people"]["batch_size"] == 4, "more the model doesn't take"
    assert body["measured"]["people"]["fps"] > 12


def test_a_server_that_is_in_use_is_not_measured(models):
    with running_triton(models) as triton, a_client_of(triton):
        body = capabilities(triton)
    assert (body["measured"], body["max_fps"]) == ({}, 30)
    assert [model["loaded"] for model in body["supported_models"]] == [True]
