"""What the agent is told, by options and by environment."""

import json

import pytest
from triton_agent import cli
from triton_agent.errors import UsageError
from triton_agent.settings import Declared, Endpoint, Gateway, runtime_id, secret


def test_limits_come_from_the_environment():
    env = {"AI_RUNTIME_MAX_FPS": "5", "AI_RUNTIME_MAX_CONCURRENT_STREAMS": "2", "AI_RUNTIME_BATCH_SIZE": ""}
    assert Declared.from_environment(env) == Declared(5, 2, None)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_no_whole_number_above_zero_is_refused_by_name(value):
    with pytest.raises(UsageError, match="AI_RUNTIME_MAX_FPS"):
        Declared.from_environment({"AI_RUNTIME_MAX_FPS": value})


def test_a_secret_can_be_in_a_file(tmp_path):
    (tmp_path / "token").write_text("abc\n")
    assert secret({"TOKEN_FILE": str(tmp_path / "token")}, "TOKEN") == "abc"
    assert secret({"TOKEN_FILE": str(tmp_path / "token"), "TOKEN": "xyz"}, "TOKEN") == "xyz"
    assert secret({}, "TOKEN") is None
    with pytest.raises(UsageError, match="TOKEN_FILE"):
        secret({"TOKEN_FILE": str(tmp_path / "none")}, "TOKEN")


@pytest.mark.parametrize("heartbeat", ["0", "-1", "nan", "inf", "soon"])
def test_a_heartbeat_that_is_no_time_is_refused(heartbeat):
    with pytest.raises(UsageError, match="RUTH_AI_HEARTBEAT_S"):
        Gateway.from_environment("http://gateway:8080", {"RUTH_AI_HEARTBEAT_S": heartbeat})


def test_the_gateways_address_must_be_one():
    assert Gateway.from_environment("http://gateway:8080/", {}).url == "http://gateway:8080"


@pytest.mark.parametrize("url", ["ftp://gateway", "gateway:8080", "http://", "http://[gateway", "http://gateway:99999"])
def test_what_is_no_address_of_a_gateway_is_refused(url):
    with pytest.raises(UsageError, match="--gateway"):
        Gateway.from_environment(url, {})


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_what_is_no_port_is_wrong_usage(port, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["capabilities", f"--http-port={port}"])
    assert f"'{port}' is no port" in capsys.readouterr().err
    monkeypatch.setenv("AI_RUNTIME_PORT", port)
    assert cli.main(["capabilities"]) == 2
    assert "AI_RUNTIME_PORT" in capsys.readouterr().err


def test_a_server_that_listens_everywhere_is_declared_by_name_and_asked_on_loopback():
    endpoint = Endpoint(host="0.0.0.0", advertised_host="triton-7")
    assert (endpoint.reachable_host, endpoint.http_url) == ("triton-7", "http://127.0.0.1:8000")
    assert Endpoint(host="0.0.0.0").reachable_host not in ("0.0.0.0", "")


def test_a_runtime_keeps_its_name_over_restarts():
    assert runtime_id({}, 8001) == runtime_id({}, 8001) != runtime_id({}, 8002)
    assert runtime_id({"RUTH_AI_RUNTIME_ID": "edge-1"}, 8001) == "edge-1"


def test_capabilities_print_the_body_that_would_be_sent(capsys, monkeypatch):
    monkeypatch.setenv("AI_RUNTIME_MAX_FPS", "12")
    monkeypatch.setenv("AI_RUNTIME_PORT", "50051")
    assert cli.main(["capabilities", "--json", "--hardware", "cpu", "--http-port", "1"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["hardware_type"], body["max_fps"], body["max_concurrent_streams"]) == ("cpu", 12, 12)
    assert (body["grpc_url"], body["supported_models"], body["measured"]) == ("127.0.0.1:50051", [], {})
    assert body["http_url"] == "http://127.0.0.1:1"
    assert set(body) >= {"runtime_id", "gpu_name", "gpu_memory_mb", "cuda_version", "version", "metrics_url", "host_id"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["serve", "--model-repository", "/nowhere"], 1, "/nowhere is not a folder"),
        (["serve", "--model-repository", ".", "--http-port", "8001"], 2, "ports must differ"),
        (["serve", "--model-repository", ".", "--gateway", "gateway:8080"], 2, "http://"),
    ],
)
def test_a_users_mistake_is_one_message_and_a_status(arguments, status, words, capsys):
    assert cli.main(arguments) == status
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["serve"], ["fly"], ["serve", "--model-repository", ".", "--grpc-port", "70000"]]
)
def test_wrong_usage_is_status_two(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
