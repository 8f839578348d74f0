"""`ruth-triton serve` with a real tritonserver: crashes, kills, refusals, registration."""

import contextlib
import hashlib
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from triton_agent.errors import UnreachableError
from triton_agent.leftovers import region_prefix
from triton_agent.rest import call
from triton_agent.triton_api import TritonApi

from tests.support.triton_models import CENSUS_TENSORS, census, publish
from tests.support.triton_server import carriers, eventually, free_ports, running_triton

CONFIG = "max_batch_size: 8\ninstance_group { kind: KIND_CPU count: 1 }\n" + CENSUS_TENSORS


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    publish(folder, "census", census(), CONFIG)
    return folder


class GatewayHandler(http.server.BaseHTTPRequestHandler):
    """Puts every request in the server's queue and answers with the server's status."""

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_GET(self):
        self.answer(None)

    def do_DELETE(self):
        self.answer(None)

    def answer(self, body):
        self.server.seen.put((self.command, self.path, self.headers["Authorization"], body))
        reply = json.dumps(self.server.reply).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def gateway(port=0, status=201, reply=None):
    with http.server.HTTPServer(("127.0.0.1", port), GatewayHandler) as server:
        server.seen, server.status, server.reply = queue.Queue(), status, reply or {"runtime_id": "r"}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def declared(server, condition):
    """The first of the next hundred registrations that meets the condition."""
    for _ in range(100):
        method, path, token, body = server.seen.get(timeout=10)
        if method == "POST" and condition(body):
            return path, token, body
    raise AssertionError(f"not declared within a hundred heartbeats, the last said {body}")


def loaded(body):
    return {model["model_id"]: model["loaded"] for model in body["supported_models"]}


def run(*arguments, **env):
    command = [sys.executable, "-m", "triton_agent.cli", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **env}, check=False, capture_output=True, text=True, timeout=60)


def test_a_killed_server_is_back_with_nothing_left_of_the_first(repository):
    with running_triton(repository) as triton:
        first = triton.server_pid()
        before = set(triton.processes())
        os.kill(first, signal.SIGKILL)
        eventually(lambda: not set(triton.processes()) & before - {triton.pid}, 10)
        triton.wait_ready()
        assert triton.server_pid() != first
        assert len(triton.leftovers()[1]) == 1


@pytest.mark.slow
def test_a_server_that_hangs_is_killed_and_started_again(repository):
    with running_triton(repository) as triton:
        eventually(lambda: "tritonserver is ready" in triton.log.read_text(), 10)  # from then on it is probed
        hanging = triton.server_pid()
        os.kill(hanging, signal.SIGSTOP)
        eventually(lambda: hanging not in triton.processes(), 30)
        triton.wait_ready()
        assert "it does not answer" in triton.log.read_text()


def test_a_server_whose_models_process_died_is_started_again(repository):
    with running_triton(repository) as triton:
        eventually(lambda: "tritonserver is ready" in triton.log.read_text(), 10)
        server = triton.server_pid()
        stub = next(pid for pid, line in triton.processes().items() if "triton_python_backend_stub" in line)
        os.kill(stub, signal.SIGKILL)
        eventually(lambda: server not in triton.processes(), 10)
        triton.wait_ready()
        assert "a process of a model died" in triton.log.read_text()


def test_loading_and_unloading_models_is_no_breakdown(repository):
    with running_triton(repository) as triton, grpcclient.InferenceServerClient(triton.grpc_url) as client:
        eventually(lambda: "tritonserver is ready" in triton.log.read_text(), 10)
        server = triton.server_pid()
        for _ in range(15):
            client.unload_model("census")
            client.load_model("census")
        eventually(lambda: len(triton.leftovers()[1]) == 1, 10)
        assert triton.server_pid() == server


def test_a_killed_agent_takes_everything_with_it(repository):
    with running_triton(repository) as triton:
        assert triton.leftovers()[0]
        os.kill(triton.pid, signal.SIGKILL)
        triton.process.wait()
        eventually(lambda: triton.leftovers() == ({}, []), 10)


def test_an_agent_that_is_to_end_with_its_parent_does(repository, tmp_path):
    http, grpc, metrics = free_ports(3)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([*sys.argv[1:], f'--end-with={os.getpid()}'], stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    command = [sys.executable, "-m", "triton_agent.cli", "serve", f"--model-repository={repository}", *ports]
    with subprocess.Popen([sys.executable, "-c", script, *command], stdout=subprocess.PIPE, text=True) as parent:
        prefix = region_prefix(int(parent.stdout.readline()))
        eventually(TritonApi(f"http://127.0.0.1:{http}").ready, 30)
        assert carriers(prefix)
        parent.kill()
    eventually(lambda: not carriers(prefix), 10)


def test_an_agent_whose_parent_is_another_does_not_start(repository):
    done = run("serve", f"--model-repository={repository}", "--end-with=1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_a_killed_keeper_is_noticed_and_cleaned_up_after(repository):
    with running_triton(repository) as triton:
        keeper = next(pid for pid, line in triton.processes().items() if "keeper.py" in line)
        before = set(triton.processes())
        os.kill(keeper, signal.SIGKILL)
        eventually(lambda: not set(triton.processes()) & before, 10)
        triton.wait_ready()


def test_what_an_agent_killed_together_with_its_keeper_left_is_swept_by_the_next(repository):
    with running_triton(repository) as triton:
        keeper = next(pid for pid, line in triton.processes().items() if "keeper.py" in line)
        for pid in (triton.pid, keeper):
            os.kill(pid, signal.SIGSTOP)
        for pid in (keeper, triton.pid):
            os.kill(pid, signal.SIGKILL)
        triton.process.wait()
        with running_triton(repository):
            eventually(lambda: triton.leftovers() == ({}, []), 10)


def test_a_request_in_flight_is_answered_before_the_end(tmp_path):
    queued = "dynamic_batching { preferred_batch_size: 8 max_queue_delay_microseconds: 2000000 }\n"
    publish(tmp_path, "patient", census(), CONFIG + queued)

    def pending():
        # metrics are served a moment after everything else
        with contextlib.suppress(OSError), urllib.request.urlopen(triton.metrics_url) as reply:
            return 'pending_request_count{model="patient",version="1"} 1' in reply.read().decode()

    tensor = grpcclient.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 3), np.float32))
    with ThreadPoolExecutor(1) as pool, running_triton(tmp_path) as triton:
        with grpcclient.InferenceServerClient(triton.grpc_url) as client:
            answer = pool.submit(client.infer, "patient", [tensor])
            eventually(pending, 5)
            triton.process.send_signal(signal.SIGTERM)
            assert answer.result(10).as_numpy("rows").tolist() == [[1]]
        triton.process.wait(10)


def test_perf_analyzer_runs_against_it_with_shared_memory(repository):
    with running_triton(repository) as triton:
        window = ["-p", "200", "-r", "3", "-s", "1000000"]  # however much the latency varies
        model = ["-m", "census", "--shape", "x:64", "-u", triton.grpc_url, "-i", "grpc"]
        done = run("perf-analyzer", "--", *model, *window, "--shared-memory=system", "--output-shared-memory-size=4096")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "infer/sec" in done.stdout


def test_a_model_changed_after_it_was_published_is_not_loaded_and_the_others_are(tmp_path):
    for name in ("sound", "changed"):
        path = publish(tmp_path, name, census(), CONFIG)
        manifest = {"model_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        path.with_name("manifest.json").write_text(json.dumps(manifest))
    published, other = path.read_bytes(), census()
    other.producer_name = "somebody else"  # Triton would load it
    path.write_bytes(other.SerializeToString())

    def in_service():
        with contextlib.suppress(UnreachableError):
            return {model.model_id for model in triton.api.models() if model.loaded}

    with running_triton(tmp_path) as triton:
        assert in_service() == {"sound"}
        assert f"{path} was changed after it was published" in triton.log.read_text()
        path.write_bytes(published)
        os.kill(triton.server_pid(), signal.SIGKILL)
        eventually(lambda: in_service() == {"sound", "changed"}, 10)
    path.write_bytes(other.SerializeToString())
    done = run("serve", f"--model-repository={tmp_path}", "--no-restart")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{path} was changed after it was published" in done.stderr


def test_an_altered_model_that_a_running_triton_is_told_to_load_is_never_declared_and_unloaded(tmp_path):
    path = publish(tmp_path, "census", census(), CONFIG)
    path.with_name("manifest.json").write_text(json.dumps({"model_sha256": "0" * 64}))
    with gateway() as server, running_triton(tmp_path, gateway=f"http://127.0.0.1:{server.server_port}") as triton:
        assert loaded(declared(server, lambda body: "census" in loaded(body))[2]) == {"census": False}
        load = f"{triton.http_url}/v2/repository/models/census/load"
        assert call("POST", load, body={}, timeout_s=10).status == 200
        eventually(lambda: "model unloaded: it is not what was published" in triton.log.read_text(), 10)
        eventually(lambda: not any(model.loaded for model in triton.api.models()), 10)
        while not server.seen.empty():
            method, _, _, body = server.seen.get()
            assert method != "POST" or loaded(body) == {"census": False}
        path.with_name("manifest.json").unlink()
        assert call("POST", load, body={}, timeout_s=10).status == 200
        declared(server, lambda body: loaded(body) == {"census": True})


def test_a_model_that_cannot_be_loaded_ends_the_command_with_tritons_reason(tmp_path):
    publish(tmp_path, "broken", b"this is no model", CONFIG)
    http, grpc, metrics = free_ports(3)
    ports = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
    done = run("serve", f"--model-repository={tmp_path}", "--no-restart", *ports)
    assert done.returncode == 1
    assert f"{tmp_path}/broken/1/model.onnx" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named_before_anything_is_started(repository):
    http, grpc, metrics = free_ports(3)
    with socket.create_server(("127.0.0.1", grpc)):
        options = [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}"]
        done = run("serve", f"--model-repository={repository}", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {grpc} on 127.0.0.1 is already in use" in done.stderr
    assert "--grpc-port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_repository_whose_path_a_shell_would_read_is_refused(tmp_path):
    for name in ("two words", "$(touch ran)"):
        (tmp_path / name).mkdir()
        done = run("serve", f"--model-repository={tmp_path / name}")
        assert done.returncode == 1
        assert name in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_port_of_somebody_else_serves_no_models():
    with gateway(status=200, reply={"not": "an index"}) as server:
        done = run("capabilities", "--json", f"--http-port={server.server_port}")
    assert (done.returncode, json.loads(done.stdout)["supported_models"]) == (0, [])


def test_a_missing_tritonserver_is_named_with_the_command_that_installs_it(repository, tmp_path):
    done = run("serve", f"--model-repository={repository}", RUTH_TRITON_HOME=str(tmp_path))
    assert done.returncode == 3
    assert str(tmp_path) in done.stderr
    assert "ruth-triton install" in done.stderr


def test_a_runtime_registers_beats_tells_of_a_crash_and_withdraws(repository):
    env = {"RUTH_AI_RUNTIME_TOKEN": "secret", "RUTH_AI_HEARTBEAT_S": "30", "RUTH_AI_RUNTIME_ID": "runtime/1"}
    with gateway(reply={"runtime_id": "runtime/1", "heartbeat_interval_s": 0.2}) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        with running_triton(repository, env=env, gateway=url) as triton:
            path, token, body = declared(server, lambda body: loaded(body) == {"census": True})
            assert (path, token) == ("/api/internal/runtime/register", "Bearer secret")
            assert (body["grpc_url"], body["http_url"]) == (triton.grpc_url, triton.http_url)
            assert (body["hardware_type"], body["max_fps"], body["inference_batch_size"]) == ("cpu", 30, 1)
            assert body["shared_memory"] is True
            os.kill(triton.server_pid(), signal.SIGKILL)
            declared(server, lambda body: loaded(body) == {"census": False})
            declared(server, lambda body: loaded(body) == {"census": True})
            assert "secret" not in triton.log.read_text()
        *_, last = list(server.seen.queue)
        assert last == ("DELETE", "/api/internal/runtime/runtime%2F1", "Bearer secret", None)


def test_a_gateway_that_comes_late_is_found_and_its_absence_told_once(repository):
    (port,) = free_ports(1)
    env = {"RUTH_AI_HEARTBEAT_S": "0.05"}
    with running_triton(repository, env=env, gateway=f"http://127.0.0.1:{port}") as triton:
        with gateway(port) as server:
            declared(server, lambda body: loaded(body) == {"census": True})
        eventually(lambda: triton.log.read_text().count("can't be reached") == 2, 10)
        assert triton.log.read_text().count("registered with the gateway") == 1


def test_a_refusal_is_told_with_the_gateways_words(repository):
    with (
        gateway(status=401, reply={"detail": "the runtime token is wrong"}) as server,
        running_triton(repository, gateway=f"http://127.0.0.1:{server.server_port}") as triton,
    ):
        eventually(lambda: "the runtime token is wrong" in triton.log.read_text(), 10)


def test_onnx_runtime_gives_the_machine_no_id_and_reports_nothing(repository, tmp_path):
    with running_triton(repository, env={"HOME": str(tmp_path), "XDG_CACHE_HOME": ""}) as triton:
        assert triton.api.ready()
    assert list(tmp_path.iterdir()) == []


def test_every_line_of_the_log_is_json_with_the_fields_of_the_project(repository):
    with running_triton(repository) as triton:
        lines = [json.loads(line) for line in triton.log.read_text().splitlines()]
    assert lines
    assert all({"timestamp", "level", "service", "message"} <= line.keys() for line in lines)
    assert any(line["message"] == "successfully loaded 'census'" for line in lines)
