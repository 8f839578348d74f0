"""A real browser, without a window."""

import queue
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

PAGE = b"""<!doctype html><video id="v" muted autoplay src="/film.mp4"></video><script>
const v = document.getElementById("v");
const say = what => fetch("/said", {method: "POST", body: JSON.stringify(what)});
v.addEventListener("ended", () => say({duration: v.duration, width: v.videoWidth, height: v.videoHeight,
                                       frames: v.getVideoPlaybackQuality().totalVideoFrames}));
v.addEventListener("error", () => say({error: v.error.message}));
</script>"""


class Played(msgspec.Struct):
    """What the browser's player says at the end: seconds, pixels, pictures shown; or why it couldn't play."""

    duration: float = 0.0
    width: int = 0
    height: int = 0
    frames: int = 0
    error: str = ""


def play(film: bytes, folder: Path, timeout_s: float = 60.0) -> Played:
    """Have Chromium play a film to its end."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium (Debian's package chromium)")
    said: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, kind = (film, "video/mp4") if self.path == "/film.mp4" else (PAGE, "text/html")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            said.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        command = [chromium, *options, f"--user-data-dir={folder}/profile", address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            try:
                return msgspec.json.decode(said.get(timeout=timeout_s), type=Played)
            finally:
                browser.terminate()
                server.shutdown()
