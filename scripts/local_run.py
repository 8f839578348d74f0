"""Runs Ruth AI on this machine: Triton with its agent, the gateway, and a camera; see `scripts/up --help`."""

import argparse
import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

CHECKOUT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LOGS = Path(os.environ.get("RUTH_UP_LOGS", CHECKOUT / ".local" / "logs"))
BUILTIN_MODEL = "people_hog"
DEMO_URL = "demo:?people=3&seed=1&fps=10&size=1280x720"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
LEAST_FREE_BYTES = 500_000_000
PR_SET_PDEATHSIG = 1


def main() -> int:
    """Start everything, tell what happens, stop everything."""
    options = parse_options()
    started_s = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell starts in the background
    check_machine(options)
    model = provide_model(options)
    token = secrets.token_urlsafe(32)
    environment = {**os.environ, "RUTH_AI_RUNTIME_TOKEN": token, "RUTH_AI_PROFILE": options.profile}
    gateway_url = f"http://127.0.0.1:{options.port}"
    with contextlib.ExitStack() as stack:
        say("starting Triton and the gateway")
        triton = [
            BIN / "ruth-triton", "serve", "--model-repository", options.repository, "--gateway", gateway_url,
            "--grpc-port", options.triton_port + 1, "--http-port", options.triton_port,
            "--metrics-port", options.triton_port + 2,
        ]  # fmt: skip
        programs = [
            stack.enter_context(Program("triton", triton, environment)),
            stack.enter_context(
                Program("gateway", [BIN / "ruth-gateway", "serve", "--port", options.port], environment)
            ),
        ]
        wait_until(lambda: answers(f"{gateway_url}/health"), programs, "the gateway doesn't answer")
        cameras = provide_cameras(gateway_url, options.camera, model)
        say(f"API      {gateway_url}/api/v1/violations   (OpenAPI: {gateway_url}/schema)")
        told: dict[str, str] = {}
        wait_until(lambda: inferred(gateway_url, told), programs, "no frame has been inferred")
        say(f"first inference after {time.monotonic() - started_s:.1f} s; Ctrl-C stops everything")
        threading.Thread(target=tell_violations, args=(gateway_url, cameras), daemon=True).start()
        watch(programs)
    return 0


def parse_options() -> argparse.Namespace:
    """Read the command line; sets a port of its own for each part."""
    parser = argparse.ArgumentParser(
        prog="scripts/up", description="Run Ruth AI on this machine: local Triton, model, gateway, camera."
    )
    parser.add_argument(
        "--camera", action="append", default=[], metavar="URL", help="a camera (repeatable); default: a rendered street"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE.onnx",
        help=f"a detector to convert and use; default: the built-in {BUILTIN_MODEL}",
    )
    parser.add_argument("--use-model", metavar="NAME", help="a model that is in the repository already")
    parser.add_argument("--family", default="auto", help="family of --model, if it isn't recognised")
    parser.add_argument(
        "--repository",
        type=Path,
        default=CHECKOUT / "model_repository",
        metavar="DIR",
        help="model repository (model_repository)",
    )
    parser.add_argument("--profile", default=os.environ.get("RUTH_AI_PROFILE", "dev"), help="profile of defaults (dev)")
    parser.add_argument("--port", type=int, default=8080, help="port of the API (8080)")
    parser.add_argument(
        "--triton-port", type=int, default=8000, metavar="PORT", help="Triton takes this and the next two (8000)"
    )
    return parser.parse_args()


def check_machine(options: argparse.Namespace) -> None:
    """Refuse to start where it would fail later, and less clearly."""
    ports = [options.triton_port + i for i in range(3)]
    if options.port in ports:
        fail(f"Triton takes the ports {ports[0]} to {ports[-1]}; choose another with --port or --triton-port")
    for port, option in ((options.port, "--port"), *((port, "--triton-port") for port in ports)):
        if not 1 <= port <= 65535:
            fail(f"{port} is no port (1 to 65535); choose another with {option}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                fail(
                    f"port {port} can't be taken ({error.strerror}); end what holds it, or choose another with {option}"
                )
    free = shutil.disk_usage(CHECKOUT).free
    if free < LEAST_FREE_BYTES:
        fail(f"{CHECKOUT} has {free // 1_000_000} MB of disk space left; {LEAST_FREE_BYTES // 1_000_000} MB are needed")


def provide_model(options: argparse.Namespace) -> str:
    """Publish the model to use, unless it is there; returns its name."""
    if options.use_model:
        if not (options.repository / options.use_model / "config.pbtxt").is_file():
            fail(f"{options.repository} holds no model {options.use_model}; `ruth-convert list` says which it holds")
        return str(options.use_model)
    if options.model is None:
        if not (options.repository / BUILTIN_MODEL / "config.pbtxt").exists():
            say(f"building the model {BUILTIN_MODEL} (once)")
            convert(options.repository, "builtin", BUILTIN_MODEL)
        return BUILTIN_MODEL
    name = "".join(c if c.isalnum() else "_" for c in options.model.stem.lower())[:64]
    say(f"publishing {options.model} as {name}")
    convert(options.repository, "onnx", options.model, "--name", name, "--family", options.family)
    return name


def convert(repository: Path, *arguments: object) -> None:
    """Run the converter; its messages are for the user."""
    command = [str(BIN / "ruth-convert"), *map(str, arguments), "--repository", str(repository)]
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def provide_cameras(gateway_url: str, wanted: Sequence[str], model: str) -> dict[str, str]:
    """Put the wanted cameras on record, with a rule each, unless they are; returns the names of all by id."""
    on_record = call(gateway_url, "GET", "/api/v1/cameras")["items"]
    known = {camera["url"]: camera for camera in on_record}
    names = {camera["id"]: camera["name"] for camera in on_record}
    urls = [camera_url(each) for each in wanted] or [DEMO_URL]
    for i, url in enumerate(urls):
        settings = {"name": f"camera {i + 1}" if wanted else "demo street", "url": url, "model": model, "fps": 5}
        camera = known.get(url)
        if camera is None:
            camera = call(gateway_url, "POST", "/api/v1/cameras", settings)
            call(gateway_url, "POST", f"/api/v1/cameras/{camera['id']}/rules", rule_for(url))
            names[camera["id"]] = camera["name"]
        elif camera["model"] != model:
            call(gateway_url, "PUT", f"/api/v1/cameras/{camera['id']}", {**settings, "name": camera["name"]})
        say(f"camera   {camera['name']}: {camera['url']}")
    for camera in on_record:
        if camera["url"] not in urls:
            address = f"{gateway_url}/api/v1/cameras/{camera['id']}"
            say(f"camera   {camera['name']}: on record from an earlier run (curl -X DELETE {address})")
    return names


def camera_url(wanted: str) -> str:
    """A camera URL as it was given, or that of a plain path to a clip."""
    path = Path(wanted)
    return path.resolve().as_uri() if path.is_file() else wanted


def rule_for(url: str) -> dict[str, Any]:
    """A person in the demo street's zone; for any other camera, anywhere in the picture."""
    if not url.startswith("demo:"):
        return {"name": "person in the picture", "definition": {"type": "zone_presence"}}
    from gateway.sources.demo import DEMO_ZONE

    return {"name": "person in the zone", "definition": {"type": "zone_presence", "zone": DEMO_ZONE}}


class Program(contextlib.AbstractContextManager["Program"]):
    """A child with its log in a file; told to end, and waited for, when the context ends."""

    def __init__(self, name: str, command: Sequence[object], environment: dict[str, str]) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = LOGS / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the children in order
                preexec_fn=die_with_parent,  # noqa: PLW1509 - no thread has started yet
            )

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            say(f"{self.name} doesn't end; killing it")
            self.process.kill()
            self.process.wait()

    def check(self) -> None:
        """Fail with the end of its log if it has ended."""
        status = self.process.poll()
        if status is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            fail(f"{self.name} ended with status {status}; the end of {self.log}:\n{tail}")


def die_with_parent() -> None:
    """Have the kernel end this child should its parent be killed."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def watch(programs: Sequence[Program]) -> NoReturn:
    """Wait until a program ends by itself; Ctrl-C interrupts."""
    while True:
        for program in programs:
            program.check()
        time.sleep(0.5)


def wait_until(condition: Any, programs: Sequence[Program], otherwise: str) -> None:  # noqa: ANN401
    """Wait for a condition while the programs live."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not condition():
        for program in programs:
            program.check()
        if time.monotonic() > deadline_s:
            fail(f"{otherwise} within {START_TIMEOUT_S:g} s; see {LOGS}")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether an address answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def inferred(gateway_url: str, told: dict[str, str]) -> bool:
    """Whether a camera has had a frame inferred; tells once (`told`, by camera id) why one can't be read."""
    cameras = [c for c in call(gateway_url, "GET", "/api/v1/cameras")["items"] if c["enabled"]]
    for camera in cameras:
        status = camera["status"]
        if status["state"] in ("refused", "retrying") and camera["id"] not in told:
            told[camera["id"]] = status["reason"]
            say(f"camera   {camera['name']}: {status['reason']}")
    if cameras and all(camera["status"]["state"] == "refused" for camera in cameras):
        fail("no camera can be read")
    return any(camera["status"]["frames_inferred"] for camera in cameras)


def call(gateway_url: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """Call the API; a refusal ends the run with the API's own words."""
    request = urllib.request.Request(
        f"{gateway_url}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        fail(f"{method} {path}: {problem.get('detail', problem)}")


def tell_violations(gateway_url: str, cameras: dict[str, str]) -> None:
    """Print violations as the gateway tells of them."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{gateway_url}/api/v1/events") as stream:
        for event in events(stream):
            if not event.get("type", "").startswith("violation."):
                continue  # grants, and why the stream ends
            violation = event["payload"]
            place = cameras.get(violation["camera_id"], violation["camera_id"])
            if event["type"] == "violation.opened":
                say(
                    f"VIOLATION  {place}: {violation['label']} {violation['score']:.2f}, {violation['rule_name']}  "
                    f"{gateway_url}/api/v1/violations/{violation['id']}/evidence.jpg"
                )
            elif event["type"] == "violation.closed":
                say(f"    ended  {place}: {violation['rule_name']}, after {lasted_s(violation):.1f} s")


def lasted_s(violation: dict[str, Any]) -> float:
    """Seconds from the first frame of a violation that is over to its last."""
    began, ended = (datetime.fromisoformat(violation[each]) for each in ("started_at", "ended_at"))
    return (ended - began).total_seconds()


def events(stream: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event."""
    for line in stream:
        if line.startswith(b"data:"):
            yield json.loads(line[5:])


def say(text: str) -> None:
    """Tell the user."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End with one message."""
    print(f"scripts/up: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
