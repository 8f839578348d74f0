"""What is made of a gateway's answers, and of hardware that can't be asked."""

import io
import json

import pytest
from triton_agent.errors import MissingError
from triton_agent.logs import Log
from triton_agent.registration import Registration
from triton_agent.rest import Reply
from triton_agent.runtime import Runtime
from triton_agent.settings import Declared, Endpoint, Gateway
from triton_agent.triton_api import TritonApi

NOWHERE = "http://127.0.0.1:1"


def lost_gpu():
    raise MissingError("no NVIDIA GPU")


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def registration(stream):
    runtime = Runtime("r", Endpoint(), Declared(), lost_gpu, TritonApi(NOWHERE), None)
    return Registration(Gateway(NOWHERE), runtime, Log(stream=stream))


@pytest.mark.parametrize(("asked", "kept"), [(5, 5), (1e-9, 0.1), (1e300, 60), (float("nan"), 2), (0, 2), ("5", 2)])
def test_a_gateway_sets_the_heartbeat_within_reason(registration, asked, kept):
    registration._judge(Reply(200, {"heartbeat_interval_s": asked}))
    assert registration._heartbeat_s == kept


@pytest.mark.parametrize("body", [None, [], "nonsense", {"detail": None}])
def test_a_refusal_in_any_form_is_told_once_for_each_status(registration, stream, body):
    for status in (401, 401, 500, 401):
        registration._judge(Reply(status, body))
    assert [json.loads(line)["status"] for line in stream.getvalue().splitlines()] == [401, 500, 401]


async def test_hardware_that_can_not_be_asked_is_told_and_asked_again(registration, stream):
    await registration._register()
    await registration._register()
    (line,) = stream.getvalue().splitlines()
    assert "no NVIDIA GPU" in json.loads(line)["detail"]
