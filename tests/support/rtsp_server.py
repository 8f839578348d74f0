"""GStreamer's RTSP server as a process of its own, for tests."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.triton_server import free_ports

SYSTEM_PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")
JPEG = (
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=20/1,format=I420 ! jpegenc "
    "! rtpjpegpay name=pay0"
)


def clip_pipeline(clip: Path) -> str:
    """Play an H.264 clip from an MP4."""
    return f"filesrc location={clip} ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96"


def raw_pipeline(clip: Path) -> str:
    """Play a bare H.264 stream."""
    return f"filesrc location={clip} ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96"


@dataclass(frozen=True)
class RtspServer:
    """A serving RTSP server."""

    port: int
    process: subprocess.Popen[bytes]

    def url(self, path: str, user: str = "", scheme: str = "rtsp") -> str:
        """A camera URL."""
        return f"{scheme}://{user + '@' if user else ''}127.0.0.1:{self.port}{path}"

    def freeze(self) -> None:
        """Have it send nothing more, and keep its connections open."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running_rtsp_server(
    streams: dict[str, str], *, user: str = "", certificate: Path | None = None, port: int = 0
) -> Iterator[RtspServer]:
    """Serve pipelines by path during the block; the test is skipped where GStreamer isn't installed."""
    probe = [SYSTEM_PYTHON, "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    if shutil.which(SYSTEM_PYTHON) is None or subprocess.run(probe, check=False, capture_output=True).returncode:
        reason = "GStreamer's RTSP server isn't installed (scripts/lib/test-servers installs it)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    port = port or free_ports(1)[0]
    command = [SYSTEM_PYTHON, str(SCRIPT), str(port), *(f"{path}={pipeline}" for path, pipeline in streams.items())]
    command += ["--user", user] if user else []
    command += ["--certificate", str(certificate)] if certificate else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line == b"ready\n", process.stderr.read().decode()
        yield RtspServer(port, process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
