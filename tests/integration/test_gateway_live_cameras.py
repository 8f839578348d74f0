"""Cameras on the network and on this machine, as they are: well, away, hanging, locked, and not cameras at all."""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.frame import Frame
from gateway.domain.media import HardwareDecoding
from gateway.domain.ports import Source
from gateway.errors import (
    ConfigurationError,
    InvalidInputError,
    SourceRefusedError,
    SourceStalledError,
    SourceUnavailableError,
)
from gateway.sampling import FpsGate
from gateway.sources import MediaSettings, open_source, v4l2
from gateway.sources.feed import Patience
from gateway.sources.http import http_source
from gateway.sources.rtsp import rtsp_source
from gateway.sources.urls import parse_url
from tests.support.clips import write_clip
from tests.support.http_camera import PASSWORD, QUOTED, USER, HttpCamera, running_http_camera
from tests.support.rtsp_server import JPEG, clip_pipeline, raw_pipeline, running_rtsp_server
from tests.support.triton_server import free_ports

HASTY = Patience(open_s=3.0, stall_s=0.7)


def a_source(url: str, patience: Patience = HASTY) -> Source:
    make = rtsp_source if url.startswith("rtsp") else http_source
    return make(parse_url(url), SystemClock(), MediaSettings(), patience)


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Source]:
    try:
        source.open(0.0)
        yield source
    finally:
        source.close()


def frames_of(url: str, count: int = 3) -> list[Frame]:
    with opened(a_source(url)) as source:
        return [frame for _ in range(count) if (frame := source.read()) is not None]


def read_to_the_end(source: Source) -> None:
    while source.read() is not None:
        pass


@pytest.fixture(scope="module")
def camera() -> Iterator[HttpCamera]:
    with running_http_camera() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    whole = folder / "both.pem"
    whole.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return whole


# RTSP


def test_an_rtsp_camera_that_asks_for_digest_gets_the_decoded_password():
    with running_rtsp_server({"/1": JPEG}, user=f"{USER}:{PASSWORD}") as server:
        assert len(frames_of(server.url("/1", QUOTED))) == 3
        for user, said in (("ann:wrong", "refuses the user name or password"), ("", "asks for a user name")):
            with pytest.raises(SourceRefusedError, match=said) as refused:
                frames_of(server.url("/1", user))
            assert "wrong" not in str(refused.value).replace("password", "")
        with pytest.raises(SourceRefusedError, match="no stream of this path"):
            frames_of(server.url("/2", QUOTED))


@pytest.mark.slow
def test_rtsp_over_tls_is_trusted_only_with_the_cameras_authority(certificate: Path, monkeypatch: pytest.MonkeyPatch):
    with running_rtsp_server({"/1": JPEG}, certificate=certificate) as server:
        url = server.url("/1", scheme="rtsps")
        with pytest.raises(SourceUnavailableError, match=r"isn't trusted \(self-signed certificate\); verify=0"):
            frames_of(url)
        assert len(frames_of(f"{url}?verify=0")) == 3
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert len(frames_of(url)) == 3


def test_an_rtsp_camera_that_hangs_is_stalled_and_closing_it_waits_for_nothing():
    with running_rtsp_server({"/1": JPEG}) as server, opened(a_source(server.url("/1"))) as source:
        assert source.read() is not None
        server.freeze()
        with pytest.raises(SourceStalledError, match=r"nothing has come for 0\.7 s"):
            read_to_the_end(source)
        started = time.monotonic()
        source.close()
        assert time.monotonic() - started < 0.5


@pytest.mark.slow
def test_an_rtsp_camera_that_dies_is_lost_and_can_be_opened_again():
    port = free_ports(1)[0]
    with running_rtsp_server({"/1": JPEG}, port=port) as server, opened(a_source(server.url("/1"))) as source:
        assert source.read() is not None
        server.kill()
        with pytest.raises(SourceUnavailableError):
            read_to_the_end(source)
        with pytest.raises(SourceUnavailableError, match="refuses connections"):
            frames_of(server.url("/1"))
    with running_rtsp_server({"/1": JPEG}, port=port) as server:
        assert len(frames_of(server.url("/1"))) == 3


def test_an_rtsp_stream_that_ends_is_lost(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.mp4", frames=10, fps=10, codec="libx264")
    with (
        running_rtsp_server({"/1": clip_pipeline(clip)}) as server,
        opened(a_source(server.url("/1"))) as source,
        pytest.raises(SourceUnavailableError),
    ):
        read_to_the_end(source)


@pytest.mark.slow
def test_an_rtsp_camera_may_change_its_resolution_in_mid_stream(tmp_path: Path):
    whole = tmp_path / "clip.h264"
    with whole.open("wb") as joined:
        for size_wh in ((64, 48), (128, 96)):
            part = write_clip(tmp_path / "part.h264", frames=12, fps=10, size_wh=size_wh, codec="libx264")
            joined.write(part.read_bytes())
    with running_rtsp_server({"/1": raw_pipeline(whole)}) as server, opened(a_source(server.url("/1"))) as source:
        sizes = [source.read().resolution_wh for _ in range(18)]  # type: ignore[union-attr]
    assert sizes[0] == (64, 48)
    assert sizes[-1] == (128, 96)


@pytest.mark.slow
def test_a_slow_consumer_goes_on_with_what_is_newest(tmp_path: Path):
    clip = write_clip(tmp_path / "clip.mp4", frames=600, fps=120, codec="libx264", options={"g": "60"})
    with running_rtsp_server({"/1": clip_pipeline(clip)}) as server, opened(a_source(server.url("/1"))) as source:
        first = source.read()
        time.sleep(1.6)
        later = [source.read() for _ in range(5)]
    assert first is not None
    times = [frame.time_s for frame in later if frame]
    assert times == sorted(times)
    assert max(np.diff([first.time_s, *times])) > 0.5


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\r\n\r\n<html>", bytes(range(256)) * 40, b""])
def test_what_answers_but_speaks_no_rtsp_is_told_so(answer: bytes):
    with answering(answer) as port, pytest.raises(SourceUnavailableError, match=f"127.0.0.1:{port}"):
        frames_of(f"rtsp://ann:secret@127.0.0.1:{port}/1")


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_one_that_takes_connections_and_never_answers_is_given_up(scheme: str):
    with answering(None) as port, pytest.raises(SourceUnavailableError, match=r"no answer within|answer in time"):
        a_source(f"{scheme}://127.0.0.1:{port}/1", Patience(0.7, 0.5)).open(0.0)


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
def test_a_name_that_is_not_known_is_told_by_name(scheme: str):
    with pytest.raises(SourceUnavailableError, match=r"the name camera\.invalid can't be found"):
        frames_of(f"{scheme}://ann:secret@camera.invalid/1")


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """Take connections and answer each with these bytes; None for never."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection = server.accept()[0]
                except OSError:
                    return
                kept.append(connection)
                if answer is not None:
                    with contextlib.suppress(OSError):
                        connection.recv(4096)
                        connection.sendall(answer)
                        connection.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


# HTTP


@pytest.mark.parametrize("path", ["/basic?fps=20", "/digest"])
def test_an_http_camera_gets_the_credentials_as_it_asks_for_them(camera: HttpCamera, path: str):
    assert len(frames_of(camera.address(path, QUOTED))) == 3
    for user, said in (("ann:wrong", "refuses the user name or password"), ("", "asks for a user name")):
        with pytest.raises(SourceRefusedError, match=said):
            frames_of(camera.address(path, user))


@pytest.mark.parametrize(
    ("path", "error", "said"),
    [
        ("/html", SourceRefusedError, "answers with text/html, not with JPEG"),
        ("/missing", SourceRefusedError, "answers 404"),
        ("/gif", SourceRefusedError, "no JPEG and no PNG"),
        ("/circle", SourceRefusedError, "redirects more than 3 times"),
        ("/elsewhere", SourceRefusedError, "redirects to an address that is no HTTP"),
        ("/to-no-name", SourceRefusedError, "redirects to one, that can't be used"),
        ("/overloaded", SourceUnavailableError, "answers 503"),
        ("/garbage", SourceUnavailableError, "no boundary within"),
        ("/broken", SourceUnavailableError, "can't be decoded"),
        ("/endless", SourceUnavailableError, "more than 20000000 bytes"),
        ("/huge", SourceUnavailableError, "16384 x 16384 pixels"),
        ("/ends", SourceUnavailableError, "has ended the stream"),
        ("/hang", SourceStalledError, "nothing has come"),
    ],
)
def test_an_http_address_that_gives_no_pictures_says_why(
    camera: HttpCamera, path: str, error: type[Exception], said: str
):
    with pytest.raises(error, match=said):
        frames_of(camera.address(path), 30)


def test_a_redirect_leads_to_the_picture(camera: HttpCamera):
    assert len(frames_of(camera.address("/redirected?fps=20"))) == 3


def test_an_http_camera_may_change_its_resolution(camera: HttpCamera):
    sizes = [frame.resolution_wh for frame in frames_of(camera.address("/resized"), 8)]
    assert (sizes[0], sizes[-1]) == ((160, 120), (640, 480))


def test_our_options_are_kept_from_the_camera_but_for_those_it_may_know(camera: HttpCamera):
    frames_of(camera.address("/mjpeg?rate=20&fps=3&verify=1&a=b%20c&a="))
    assert camera.asked[-1] == "/mjpeg?rate=20&fps=3&a=b%20c&a="


def test_https_is_trusted_only_with_the_cameras_authority(certificate: Path, monkeypatch: pytest.MonkeyPatch):
    with running_http_camera(certificate=certificate) as camera:
        with pytest.raises(SourceUnavailableError, match=r"isn't trusted \(.*self-signed.*\); verify=0"):
            frames_of(camera.address("/snapshot.jpg?fps=20"))
        assert len(frames_of(camera.address("/snapshot.jpg?fps=20&verify=0"))) == 3
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert len(frames_of(camera.address("/mjpeg"))) == 3


def test_a_flood_is_read_no_faster_than_its_bound_and_decoded_at_its_rate(camera: HttpCamera):
    with opened(a_source(camera.address("/flood"))) as source:
        started, gate = time.monotonic(), FpsGate(5)
        frames = [source.read(gate) for _ in range(8)]
        seconds = time.monotonic() - started
    assert frames[-1] is not None
    assert frames[-1].index <= 240 * (seconds + 1.5)
    assert 1.2 < frames[-1].time_s - frames[0].time_s < 1.9  # type: ignore[union-attr]


def test_every_error_that_a_request_can_meet_is_one_that_the_source_maps():
    raised = [e for e in vars(httpx).values() if isinstance(e, type) and issubclass(e, Exception)]
    others = {httpx.InvalidURL, httpx.CookieConflict}  # of what we build ourselves, not of what a camera does
    assert {e for e in raised if not issubclass(e, httpx.HTTPError | httpx.StreamError)} == others


# Devices


def test_a_device_that_is_absent_says_so():
    with pytest.raises(SourceUnavailableError, match="no device /dev/video99: is the camera plugged in"):
        open_source("v4l2:///dev/video99", SystemClock()).open(0.0)


def test_a_device_that_is_no_camera_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(v4l2, "_DEVICE", re.compile("/dev/null"))
    with pytest.raises(SourceUnavailableError, match="/dev/null can't be read"):
        open_source("v4l2:///dev/null", SystemClock()).open(0.0)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp:///1", "names its host"),
        ("rtsp://ann:a/b@camera/1", "%2F for /"),
        ("rtsp://camera:99999/1", "host or port"),
        ("rtsp://[::1/1", "can't be read"),
        ("rtsp://camera..local/1", "the host of the rtsp: URL is no name"),
        ("http://192.168.1..5/", "the host of the http: URL is no name"),
        ("rtsp://camera/1?transport=ip", "tcp or udp"),
        ("rtsp://camera/1?transport=tcp&transport=udp", "given twice"),
        ("rtsps://camera/1?transport=udp", "TCP alone"),
        ("rtsps://camera/1?verify=no", "verify is 0 or 1"),
        ("http://camera/1?fps=0", "0.01 to 60"),
        ("http://camera/1?fps=fast", "0.01 to 60"),
        ("http://camera/1?verify=2", "verify is 0 or 1"),
        ("v4l2:///dev/../etc/passwd", "names a video device"),
        ("v4l2:///dev/video0?size=big", "WIDTHxHEIGHT"),
        ("v4l2:///dev/video0?rate=5", "size=WIDTHxHEIGHT"),
        ("push:camera", "nothing more"),
        ("push:?a=1", "push: URLs have no option a"),
    ],
)
def test_a_url_that_can_never_work_is_refused_at_once_with_what_would_do(url: str, said: str):
    with pytest.raises(InvalidInputError) as refused:
        open_source(url, SystemClock())
    assert said in str(refused.value)


def test_a_file_outside_the_media_folder_is_refused_wherever_links_lead(tmp_path: Path):
    (tmp_path / "media").mkdir()
    outside, inside = write_clip(tmp_path / "out.mp4"), write_clip(tmp_path / "media" / "in.mp4")
    link = tmp_path / "media" / "link.mp4"
    link.symlink_to(outside)
    media = MediaSettings(folder=tmp_path / "media")
    make: Callable[[Path], Source] = lambda path: open_source(f"file://{path}", SystemClock(), media)  # noqa: E731
    with opened(make(inside)) as source:
        assert source.read() is not None
        for path in (outside, link, tmp_path / "media" / ".." / "out.mp4"):
            with pytest.raises(InvalidInputError, match="outside the media folder"):
                make(path)
        inside_then = make(inside)
        inside.unlink()
        inside.symlink_to(outside)
        with pytest.raises(InvalidInputError, match="outside the media folder"):
            inside_then.open(0.0)


def test_hardware_that_is_not_there_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigurationError, match="RUTH_AI_HARDWARE_DECODING is cuda, but no such device"):
        MediaSettings(hardware=HardwareDecoding.CUDA).check_hardware()
