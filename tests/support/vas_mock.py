"""A VAS that speaks what `gateway.sources.vas.rest` assumes: a real HTTP server, of the standard library alone.

    python vas_mock.py --port 8085 --segments DIR --client-id ruth-ai --client-secret-file FILE --token-life 60

serves the MPEG-TS files of a folder, each of one second, over and over as the live stream of each camera `camera-…`.
Tokens expire, wrong and expired ones are refused. `POST /mock/faults` with a list such as `[429, 500, "drop"]` has the
next requests that show a token fail in that way; `GET /mock/counts` tells what was asked for.
"""

import argparse
import contextlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SEGMENT_S = 1.0
WINDOW = 4


class VasMock(ThreadingHTTPServer):
    """The server; `counts` by what was answered, `faults` to come."""

    daemon_threads = True

    def __init__(
        self,
        segments: Path,
        client_id: str,
        client_secret: str,
        token_life_s: float,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        super().__init__(address, Handler)
        self.segments = [path.read_bytes() for path in sorted(segments.glob("*.ts"))]
        self.client = {"client_id": client_id, "client_secret": client_secret}
        self.token_life_s = token_life_s
        self.tokens: dict[str, float] = {}
        self.issued: list[str] = []
        self.counts: Counter[str] = Counter()
        self.faults: list[int | str] = []
        self.token_answer = b""
        self.playlist_faults: list[bytes] = []
        self.retry_after_s = 1
        self.hanging = threading.Event()
        self.started_s = time.monotonic() - WINDOW * SEGMENT_S

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave whenever they like."""


@contextlib.contextmanager
def running_vas_mock(segments: Path, client_secret: str, token_life_s: float = 60) -> Iterator[VasMock]:
    """Serve the client `ruth-ai` during the block."""
    with VasMock(segments, "ruth-ai", client_secret, token_life_s) as mock:
        thread = threading.Thread(target=mock.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield mock
        finally:
            mock.shutdown()
            thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: VasMock

    def do_POST(self) -> None:
        """Tokens, and orders of tests."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v2/auth/token":
            self._give_token(json.loads(body))
        elif self.path == "/mock/faults":
            self.server.faults += json.loads(body)
            self._answer(200, {})
        else:
            self._answer(404, {"detail": "Not Found"})

    def do_GET(self) -> None:
        """Everything else."""
        path = urlsplit(self.path).path
        if path == "/mock/counts":
            self._answer(200, dict(self.server.counts))
        elif not self._known():
            self._answer(401, {"detail": "Invalid or expired token"})
        elif self.server.faults:
            self._fail(self.server.faults.pop(0))
        elif path == "/v2/streams":
            self._list_streams()
        elif path.startswith("/v2/streams/") and path.endswith("/hls/playlist.m3u8"):
            self._give_playlist()
        elif path.startswith("/v2/streams/") and path.endswith(".ts"):
            number = int(path.rpartition("/stream")[2].removesuffix(".ts"))
            self._answer(200, self.server.segments[number % len(self.server.segments)])
        else:
            self._answer(404, {"detail": "Not Found"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _known(self) -> bool:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.server.tokens.get(token, 0.0) > time.monotonic()

    def _give_token(self, credentials: Any) -> None:
        if credentials != self.server.client:
            self._answer(401, {"detail": "Invalid client credentials"})
            return
        if self.server.token_answer:
            self._answer(200, self.server.token_answer)
            return
        token = secrets.token_urlsafe(32)
        self.server.issued.append(token)
        self.server.tokens[token] = time.monotonic() + self.server.token_life_s
        life = {"token_type": "Bearer", "expires_in": self.server.token_life_s, "refresh_token": "unused"}
        self._answer(200, {"access_token": token, **life})

    def _list_streams(self) -> None:
        camera_id = parse_qs(urlsplit(self.path).query).get("camera_id", [""])[0]
        live = [{"id": f"of-{camera_id}", "camera_id": camera_id, "state": "LIVE"}]
        self._answer(200, {"streams": live if camera_id.startswith("camera-") else [], "pagination": {}})

    def _give_playlist(self) -> None:
        if self.server.playlist_faults:
            self._answer(200, self.server.playlist_faults.pop(0))
            return
        newest = int((time.monotonic() - self.server.started_s) / SEGMENT_S)
        names = "".join(f"#EXTINF:{SEGMENT_S:.6f},\nstream{n}.ts\n" for n in range(newest - WINDOW, newest))
        head = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{SEGMENT_S:.0f}\n"
        self._answer(200, f"{head}#EXT-X-MEDIA-SEQUENCE:{newest - WINDOW}\n{names}".encode())

    def _fail(self, fault: int | str) -> None:
        if fault == "drop":
            self.server.counts["drop"] += 1
            self.close_connection = True
        elif fault == "hang":
            self.server.hanging.set()
            time.sleep(60)
        elif fault == "html":
            self._answer(200, b"<html>please log in</html>")
        else:
            assert isinstance(fault, int)
            self._answer(fault, {"detail": "a fault"})

    def _answer(self, status: int, body: object) -> None:
        path = urlsplit(self.path).path
        if not path.startswith("/mock/"):
            self.server.counts[f"{path.rpartition('/')[2].partition('.')[0].rstrip('0123456789')} {status}"] += 1
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", str(self.server.retry_after_s))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="A VAS for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8085)
    parser.add_argument("--segments", type=Path, required=True)
    parser.add_argument("--client-id", default="ruth-ai")
    parser.add_argument("--client-secret-file", type=Path, required=True)
    parser.add_argument("--token-life", type=float, default=60.0)
    options = parser.parse_args()
    secret = options.client_secret_file.read_text(encoding="utf-8").strip()
    address = options.host, options.port
    VasMock(options.segments, options.client_id, secret, options.token_life, address).serve_forever()


if __name__ == "__main__":
    main()
