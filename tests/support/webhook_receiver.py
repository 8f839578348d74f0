"""A real HTTP server that takes webhooks, and answers as it is told."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from gateway.domain.event import Event


@dataclass(frozen=True)
class Received:
    """One request: its headers in lower case, its body, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> Event:
        """The body as an event."""
        return msgspec.json.decode(self.body, type=Event)


@dataclass
class Receiver:
    """A running receiver. `answer` gives the status of each request, and may take its time."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int] = lambda _: 204
    headers: dict[str, str] = field(default_factory=dict)
    body_s: float = 0.0

    @property
    def taken(self) -> list[int]:
        """Numbers of the events that were answered well, in order."""
        return [request.event.number for request in self.requests if request.status < 300]


@contextlib.contextmanager
def webhook_receiver(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver on loopback during the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body, 0)
            status = receiver.answer(request)
            receiver.requests.append(Received(request.path, request.headers, body, status))
            with contextlib.suppress(OSError):  # the sender has hung up
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for _ in range(int(receiver.body_s * 20)):
                    self.wfile.write(b"x" * 1000)
                    time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
