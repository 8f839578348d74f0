"""`scripts/up` as its user sees it, without the set-up that precedes it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.triton_server import carriers, eventually, free_ports

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "local_run.py"


@pytest.fixture
def ports():
    """A free port for the API, and three in a row for Triton."""
    for base in range(20000 + os.getpid() % 20000, 60000, 7):
        try:
            with socket.socket() as a, socket.socket() as b, socket.socket() as c:
                for offset, each in enumerate((a, b, c)):
                    each.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return free_ports(1)[0], base
    raise AssertionError("no three free ports in a row")


@pytest.fixture
def start(tmp_path):
    """Starts it as a shell does in the background, with SIGINT ignored; what still runs in the end is killed."""
    started = []

    def run(port, triton_port, *options):
        command = ["bash", "-c", 'trap "" INT; exec "$@"', "up", sys.executable, str(SCRIPT), "--port", str(port)]
        command += ["--triton-port", str(triton_port), "--repository", str(tmp_path / "repository"), *options]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "RUTH_AI_DATA_DIR": str(tmp_path / "data"), "RUTH_UP_LOGS": str(tmp_path / "logs")},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()  # takes its programs with it
        process.wait()
        process.stdout.close()


def lines_until(process, pattern):
    """Lines printed up to the first that matches."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if re.search(pattern, line):
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.timeout(240)
def test_up_shows_violations_with_pictures_and_ctrl_c_leaves_nothing(ports, start):
    process = start(*ports)
    lines_until(process, "VIOLATION")
    lines_until(process, r"ended  demo street: person in the zone, after \d+\.\d s$")
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/api/v1/violations") as answer:
        items = json.load(answer)["items"]
    for violation in items:
        address = f"http://127.0.0.1:{ports[0]}/api/v1/violations/{violation['id']}/evidence.jpg"
        with urllib.request.urlopen(address) as answer:
            picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (720, 1280, 3)
    assert items
    children = {pid for pid in carriers(f"{ports[0]}") if pid != process.pid}
    assert len(children) >= 2

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    eventually(lambda: not children & set(carriers(f"{ports[0]}")), 10)
    assert not [p for p in Path("/dev/shm").iterdir() if any(str(pid) in p.name for pid in children)]


def test_a_port_that_is_taken_is_one_clear_message(ports, start):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports[0]))
        holder.listen()
        process = start(*ports)
        said = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert f"port {ports[0]}" in said
    assert "--port" in said


@pytest.mark.parametrize(
    ("port", "triton_port", "named"),
    [(0, 8000, "--port"), (8080, 65535, "--triton-port"), (8001, 8000, "8000 to 8002")],
)
def test_ports_that_can_not_be_are_one_clear_message(port, triton_port, named, start):
    process = start(port, triton_port, "--use-model", "nosuch")
    said = process.communicate(timeout=30)[0]
    assert (process.returncode, said.count("\n")) == (1, 1)
    assert named in said


def test_a_model_that_is_not_there_is_one_clear_message(ports, start):
    process = start(*ports, "--use-model", "nosuch")
    said = process.communicate(timeout=30)[0]
    assert (process.returncode, said.count("\n")) == (1, 1)
    assert "no model nosuch" in said


def test_a_camera_that_is_no_camera_is_refused_with_the_schemes_there_are(tmp_path, ports, people_repository, start):
    (tmp_path / "repository").symlink_to(people_repository)
    process = start(*ports, "--camera", "gopher://hole", "--use-model", "people")
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "gopher:" in said
    assert "demo:" in said


def test_a_killed_up_takes_its_programs_with_it(tmp_path, ports, people_repository, start):
    (tmp_path / "repository").symlink_to(people_repository)
    process = start(*ports, "--use-model", "people")
    lines_until(process, "first inference")
    process.kill()
    eventually(lambda: not carriers(str(tmp_path / "repository")), 20)
    eventually(lambda: not carriers(f"--port {ports[0]}".replace(" ", "\0")), 20)
