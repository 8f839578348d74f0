"""A camera that speaks HTTP, well or badly: each path behaves in its own way."""

import contextlib
import hashlib
import ssl
import struct
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

import cv2
import numpy as np

USER, PASSWORD = "ann", "p@ss%/:#"
QUOTED = "ann:p%40ss%25%2F%3A%23"
REALM, NONCE = "camera", "a nonce"
BOUNDARY = "frame"


def jpeg(grey: int = 128, size_wh: tuple[int, int] = (320, 240)) -> bytes:
    return cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0]), grey, np.uint8))[1].tobytes()


@dataclass
class HttpCamera:
    """A serving camera."""

    url: str
    asked: list[str] = field(default_factory=list)

    def address(self, path: str, user: str = "") -> str:
        """A camera URL."""
        return self.url.replace("://", f"://{user}@" if user else "://") + path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    camera: HttpCamera
    stopping: threading.Event

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.camera.asked.append(self.path)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            PATHS[parts.path](self, options)

    def log_message(self, *_: object) -> None:
        pass

    def whole(self, content: bytes, content_type: str = "image/jpeg", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def parts(self, contents: Iterator[bytes], *, length: bool = True, boundary: str = BOUNDARY) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={boundary}")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        delimiter = f"--{boundary.lstrip('-')}"
        for content in contents:
            if self.stopping.is_set():
                return
            header = f"{delimiter}\r\nContent-Type: image/jpeg\r\n"
            header += f"Content-Length: {len(content)}\r\n" if length else ""
            self.wfile.write(header.encode() + b"\r\n" + content + b"\r\n")
        self.wfile.write(f"{delimiter}--\r\n".encode())

    def paced(self, options: dict[str, str], last: int = 1_000_000) -> Iterator[bytes]:
        period_s, due_s = 1 / float(options.get("rate", "20")), time.monotonic()
        pictures = [jpeg(grey) for grey in (40, 80, 120, 160)]
        for k in range(last):
            yield pictures[k % len(pictures)]
            due_s += period_s
            self.stopping.wait(max(0.0, due_s - time.monotonic()))


def _snapshot(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(jpeg())


def _png(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(cv2.imencode(".png", np.full((50, 66, 3), 200, np.uint8))[1].tobytes(), "image/png")


def _resized(handler: _Handler, options: dict[str, str]) -> None:
    small, large = jpeg(size_wh=(160, 120)), jpeg(size_wh=(640, 480))
    handler.parts(small if k < 5 else large for k, _ in enumerate(handler.paced(options)))


def _hang(handler: _Handler, options: dict[str, str]) -> None:
    def contents() -> Iterator[bytes]:
        yield from handler.paced(options, last=3)
        handler.stopping.wait()

    handler.parts(contents())


def _silent(handler: _Handler, options: dict[str, str]) -> None:
    handler.stopping.wait()


def _flood(handler: _Handler, options: dict[str, str]) -> None:
    picture = jpeg()
    handler.parts(iter(lambda: picture, None))


def _garbage(handler: _Handler, options: dict[str, str]) -> None:
    noise = np.random.default_rng(1)
    handler.send_response(200)
    handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
    handler.end_headers()
    while not handler.stopping.is_set():
        handler.wfile.write(noise.bytes(65536))


def _broken(handler: _Handler, options: dict[str, str]) -> None:
    noise = np.random.default_rng(1)
    handler.parts(b"\xff\xd8\xff" + noise.bytes(5000) for _ in handler.paced(options))


def _huge(handler: _Handler, options: dict[str, str]) -> None:
    picture = bytearray(jpeg())
    frame_header = picture.index(b"\xff\xc0")
    struct.pack_into(">HH", picture, frame_header + 5, 16384, 16384)
    handler.parts(bytes(picture) for _ in handler.paced(options))


def _endless(handler: _Handler, options: dict[str, str]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(jpeg()[:100])
    while not handler.stopping.is_set():
        handler.wfile.write(bytes(65536))


def _redirected(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(b"", status=302, Location="/snapshot.jpg")


def _circle(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(b"", status=302, Location="/circle")


def _elsewhere(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(b"", status=302, Location="file:///etc/passwd")


def _to_no_name(handler: _Handler, options: dict[str, str]) -> None:
    handler.whole(b"", status=302, Location="http://camera..local/")


def _basic(handler: _Handler, options: dict[str, str]) -> None:
    expected = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if handler.headers["Authorization"] != expected:
        handler.whole(b"", "text/html", 401, WWW_Authenticate=f'Basic realm="{REALM}"')
    else:
        _snapshot(handler, options)


def _digest(handler: _Handler, options: dict[str, str]) -> None:
    """RFC 7616 with SHA-256 and `qop=auth`; basic is offered as well, as cameras do."""
    kind, _, given = (handler.headers["Authorization"] or "").partition(" ")
    if kind != "Digest" or not _answers(parse_keqv_list(parse_http_list(given)), handler.path):
        digest = f'Digest realm="{REALM}", nonce="{NONCE}", qop="auth", algorithm=SHA-256'
        handler.whole(b"", "text/html", 401, WWW_Authenticate=f'{digest}, Basic realm="{REALM}"')
    else:
        handler.parts(handler.paced(options))


def _answers(given: dict[str, str], path: str) -> bool:
    secret = _hash(f"{USER}:{REALM}:{PASSWORD}")
    response = f"{secret}:{NONCE}:{given['nc']}:{given['cnonce']}:auth:{_hash(f'GET:{path}')}"
    return (given["username"], given["uri"], given["response"]) == (USER, path, _hash(response))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


PATHS: dict[str, Callable[[_Handler, dict[str, str]], None]] = {
    "/mjpeg": lambda h, options: h.parts(h.paced(options)),
    "/without-length": lambda h, options: h.parts(h.paced(options), length=False),
    "/dashes": lambda h, options: h.parts(h.paced(options), boundary="--frame"),
    "/ends": lambda h, options: h.parts(h.paced(options, last=5)),
    "/snapshot.jpg": _snapshot,
    "/snapshot.png": _png,
    "/resized": _resized,
    "/hang": _hang,
    "/silent": _silent,
    "/flood": _flood,
    "/garbage": _garbage,
    "/broken": _broken,
    "/huge": _huge,
    "/endless": _endless,
    "/html": lambda h, _: h.whole(b"<html>log in</html>", "text/html; charset=utf-8"),
    "/missing": lambda h, _: h.whole(b"", "text/html", 404),
    "/overloaded": lambda h, _: h.whole(b"", "text/html", 503),
    "/gif": lambda h, _: h.whole(b"GIF89a" + bytes(20), "image/gif"),
    "/redirected": _redirected,
    "/to-no-name": _to_no_name,
    "/circle": _circle,
    "/elsewhere": _elsewhere,
    "/basic": _basic,
    "/digest": _digest,
}


@contextlib.contextmanager
def running_http_camera(port: int = 0, certificate: Path | None = None) -> Iterator[HttpCamera]:
    """Serve during the block, by TLS if a certificate with its key is given."""
    stopping = threading.Event()
    scheme = "http" if certificate is None else "https"
    handler = type("Handler", (_Handler,), {"stopping": stopping})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    camera = HttpCamera(f"{scheme}://127.0.0.1:{server.server_port}")
    handler.camera = camera  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running_http_camera_process() -> Iterator[str]:
    """Serve from a process of its own, whose floods don't take the test's time; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import serve_until_input_ends; serve_until_input_ends()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def serve_until_input_ends() -> None:
    """Print the URL, and serve until standard input is closed."""
    with running_http_camera() as camera:
        print(camera.url, flush=True)
        sys.stdin.read()
