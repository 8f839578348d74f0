"""Cameras of a VAS: a token for all, renewed in time, and what becomes of each of its refusals."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.frame import Frame
from gateway.errors import (
    ConfigurationError,
    InvalidInputError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
)
from gateway.sources import VasSession, open_source
from gateway.sources.vas.rest import Playlist
from tests.support.clips import drop_key_pictures, write_segments, write_sound
from tests.support.running_gateway import running_gateway
from tests.support.triton_server import eventually, free_ports
from tests.support.vas_mock import SEGMENT_S, VasMock, running_vas_mock

SECRET = "n0t-for-any-l0g"
WAIT_S = 10


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_segments(tmp_path_factory.mktemp("segments"))


@pytest.fixture
def vas(segments: Path) -> Iterator[VasMock]:
    with running_vas_mock(segments, SECRET) as mock:
        yield mock


class Sessions:
    """Sessions with a VAS, and what they asked for."""

    def __init__(self, vas: VasMock) -> None:
        self._vas = vas
        self.asked: Counter[str] = Counter()

    def new(self, secret: str = SECRET, margin_s: float = 300, url: str = "") -> VasSession:
        return VasSession(
            url or self._vas.url,
            "ruth-ai",
            secret,
            refresh_margin_s=margin_s,
            clock=SystemClock(),
            on_request=lambda endpoint, status, _: self.asked.update([f"{endpoint} {status}"]),
        )


@pytest.fixture
def sessions(vas: VasMock) -> Sessions:
    return Sessions(vas)


def read(session: VasSession, count: int, camera: str = "camera-1") -> list[Frame]:
    source = open_source(f"vas://{camera}", SystemClock(), vas=session)
    try:
        source.open(0.0)
        frames = [source.read() for _ in range(count)]
    finally:
        source.close()
    return [frame for frame in frames if frame is not None]


def test_a_camera_runs_longer_than_its_token_lives_and_no_request_is_ever_refused(vas: VasMock, sessions: Sessions):
    vas.token_life_s = 1.0
    frames = read(sessions.new(), 32)
    assert [frame.index for frame in frames] == list(range(32))
    assert frames[-1].time_s == pytest.approx(3.1, abs=0.2)
    assert len({int(frame.luma.mean()) for frame in frames}) >= 3
    assert sessions.asked["token 200"] >= 3
    assert {key for key in sessions.asked if not key.endswith(" 200")} == set()


def test_a_token_that_the_vas_forgot_is_renewed_and_the_request_repeated(vas: VasMock, sessions: Sessions):
    session = sessions.new()
    read(session, 1)
    vas.tokens.clear()
    assert len(read(session, 1)) == 1
    assert (sessions.asked["token 200"], sessions.asked["streams 401"]) == (2, 1)


def test_an_encoder_whose_clock_jumps_by_hours_has_neither_frames_wait_nor_hours_pass(
    vas: VasMock, sessions: Sessions, tmp_path: Path
):
    later = sorted(write_segments(tmp_path / "later", first_s=5 * 3600).glob("*.ts"))
    source = open_source("vas://camera-1", SystemClock(), vas=sessions.new())
    source.open(0.0)
    with ThreadPoolExecutor(1) as thread, contextlib.closing(source):
        frames = [source.read() for _ in range(5)]
        vas.segments = [path.read_bytes() for path in later]
        frames += [thread.submit(source.read).result(WAIT_S) for _ in range(20)]
    times = [frame.time_s for frame in frames if frame is not None]
    assert len(times) == 25
    assert times == sorted(times)
    assert 2 < times[-1] < 2 * WAIT_S


def test_a_camera_that_has_fallen_behind_goes_on_with_the_newest_segment(vas: VasMock, sessions: Sessions):
    def shade(frame: Frame | None) -> int:
        """Which of the five segments it is of."""
        assert frame is not None
        return round((frame.luma.mean() - 16) * 255 / 219 / 40) - 1

    source = open_source("vas://camera-1", SystemClock(), vas=sessions.new())
    source.open(0.0)
    with contextlib.closing(source):
        first = shade(source.read())
        vas.started_s -= 20  # the camera was held up for so long
        while (shown := shade(source.read())) == first:
            continue
    newest = int((time.monotonic() - vas.started_s) / SEGMENT_S) - 1
    assert (newest - shown) % 5 <= 1


def test_many_cameras_share_one_token_and_ask_for_it_once(vas: VasMock, sessions: Sessions):
    session = sessions.new()
    with ThreadPoolExecutor(12) as pool:
        frames = list(pool.map(lambda n: read(session, 2, f"camera-{n}"), range(12)))
    assert all(len(each) == 2 for each in frames)
    assert sessions.asked["token 200"] == 1


def test_a_wrong_secret_is_refused_with_the_reason_and_without_the_secret(vas: VasMock, sessions: Sessions):
    session = sessions.new(secret="wrong-" + SECRET)
    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(lambda n: failure(session, f"camera-{n}"), range(8)))
    for error in errors:
        assert isinstance(error, SourceRefusedError)
        assert "refuses the client ruth-ai or its secret (401); check VAS_CLIENT_ID" in str(error)
        assert SECRET not in str(error)
    assert sessions.asked["token 401"] == 1


def failure(session: VasSession, camera: str = "camera-1") -> Exception | None:
    try:
        read(session, 1, camera)
    except SourceError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("drop", SourceUnavailableError, "can't be reached"),
        (500, SourceUnavailableError, "answers 500"),
        (404, SourceUnavailableError, "no such streams"),
        (403, SourceRefusedError, r"doesn't let ruth-ai read the streams \(403\)"),
        ("html", SourceUnavailableError, "something else"),
        (429, SourceUnavailableError, r"fewer requests \(429\): next in 1 s"),
    ],
)
def test_what_the_vas_answers_is_said_in_words(
    vas: VasMock, sessions: Sessions, fault: str | int, error: type[Exception], said: str
):
    vas.faults = [fault]
    session = sessions.new()
    with pytest.raises(error, match=said):
        read(session, 1)
    assert len(read(session, 1)) == 1


def test_a_vas_that_wants_to_be_left_alone_is_left_alone(vas: VasMock, sessions: Sessions):
    session = sessions.new()
    read(session, 1)
    vas.faults = [429]
    assert failure(session) is not None
    requests, began_s = vas.counts.total(), time.monotonic()
    assert len(read(session, 1)) == 1
    assert time.monotonic() - began_s > 0.8
    assert vas.counts["streams 429"] == 1
    assert vas.counts.total() > requests


def test_a_camera_that_is_not_live_there_is_told_apart(vas: VasMock, sessions: Sessions):
    with pytest.raises(SourceUnavailableError, match="no live stream of camera garage; start it there"):
        read(sessions.new(), 1, "garage")


def test_a_vas_that_is_away_is_told_apart(sessions: Sessions):
    with pytest.raises(SourceUnavailableError, match="can't be reached"):
        read(sessions.new(url=f"http://127.0.0.1:{free_ports(1)[0]}"), 1)
    assert sessions.asked == {"token unreachable": 1}


@pytest.mark.parametrize("when", ["before a segment", "while frames are due"])
def test_closing_wakes_a_read_that_waits(vas: VasMock, sessions: Sessions, when: str):
    source = open_source("vas://camera-1", SystemClock(), vas=sessions.new())
    source.open(0.0)
    if when == "before a segment":
        vas.faults = ["hang"]
    else:
        assert source.read() is not None
    ended = threading.Event()

    def read_to_the_end() -> None:
        while source.read() is not None:
            pass
        ended.set()

    threading.Thread(target=read_to_the_end, daemon=True).start()
    if when == "before a segment":
        assert vas.hanging.wait(WAIT_S)
    source.close()
    assert ended.wait(2)


@pytest.mark.parametrize("url", ["vas://", "vas:///camera-1", "vas://camera-1/x", "vas://camera-1?fps=3"])
def test_a_url_that_names_no_camera_is_refused(sessions: Sessions, url: str):
    with pytest.raises(InvalidInputError):
        open_source(url, SystemClock(), vas=sessions.new())


def test_without_a_vas_such_a_camera_is_refused_with_what_to_set():
    with pytest.raises(InvalidInputError, match="set VAS_BASE_URL"):
        open_source("vas://camera-1", SystemClock())


@pytest.mark.parametrize(
    "url", ["vas:8085", "ftp://vas", "http://", "http://user:pw@vas:8085", "http://vas:port", "http://[vas"]
)
def test_an_address_that_cannot_be_used_is_refused_at_the_start(sessions: Sessions, url: str):
    with pytest.raises(ConfigurationError, match="VAS_BASE_URL is http://HOST:PORT"):
        sessions.new(url=url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "begin with #EXTM3U"),
        ("<html>", "begin with #EXTM3U"),
        ("#EXTM3U\nhttp://elsewhere/stream0.ts\n", "aren't beside it"),
        ("#EXTM3U\n../stream0.ts\n", "aren't beside it"),
        ("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=x\na.ts\n", "encrypted"),
        ("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:many\n", "many"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:nan\n", "nan"),
    ],
)
def test_a_playlist_that_leads_elsewhere_is_refused(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        Playlist.parse(text)


@pytest.mark.parametrize(
    "token",
    [b'{"expires_in": 60}', b'{"access_token": "a\\nb", "expires_in": 60}', b'{"access_token": "x", "expires_in": 0}'],
)
def test_a_token_that_is_none_is_told_so_and_not_shown(vas: VasMock, sessions: Sessions, token: bytes):
    vas.token_answer = token
    with pytest.raises(SourceUnavailableError, match=r"something else when asked for the token$"):
        read(sessions.new(), 1)


def test_an_empty_playlist_is_waited_for(vas: VasMock, sessions: Sessions):
    vas.playlist_faults = [b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"]
    assert len(read(sessions.new(), 1)) == 1
    assert sessions.asked["playlist 200"] == 2


def test_a_playlist_that_is_none_is_asked_for_again(vas: VasMock, sessions: Sessions):
    source = open_source("vas://camera-1", SystemClock(), vas=sessions.new())
    source.open(0.0)
    vas.faults = ["html"]
    with pytest.raises(SourceUnavailableError, match="no playlist for camera camera-1"):
        source.read()
    source.close()


def test_segments_without_pictures_or_with_broken_ones_are_asked_for_again(
    vas: VasMock, sessions: Sessions, tmp_path: Path
):
    write_sound(tmp_path / "sound.ts", codec="aac")
    write_segments(tmp_path, count=1, fps=60)
    drop_key_pictures(tmp_path / "000.ts", tmp_path / "keyless.ts")
    for name, said in (("sound.ts", "has no pictures"), ("keyless.ts", "can't be decoded")):
        vas.segments = [(tmp_path / name).read_bytes()]
        with pytest.raises(SourceUnavailableError, match=f"the stream of camera camera-1 {said}"):
            read(sessions.new(), 1)


def test_the_gateway_shows_the_vas_in_health_and_metrics_and_its_secrets_nowhere(vas: VasMock, tmp_path: Path):
    vas.token_life_s = 1.0
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    env = {
        "VAS_BASE_URL": vas.url,
        "VAS_CLIENT_ID": "ruth-ai",
        "VAS_CLIENT_SECRET_FILE": str(secret),
        "RUTH_AI_LOG_LEVEL": "debug",
    }
    with running_gateway(tmp_path / "gateway", env=env) as gateway:
        camera = gateway.add_camera("vas://camera-1", "people")
        eventually(lambda: gateway.status(camera)["state"] == "live", WAIT_S)
        health = gateway.get("/api/v1/health")["components"]["vas"]
        assert (health["status"], health["error"]) == ("healthy", None)
        vas.client = {}
        vas.tokens.clear()
        eventually(
            lambda: gateway.send("GET", "/api/v1/health")[1]["components"]["vas"]["status"] == "unhealthy", WAIT_S
        )
        metrics = gateway.fetch("/metrics").decode()
        assert 'ruth_ai_vas_api_requests_total{endpoint="token",status="200"}' in metrics
        assert 'ruth_ai_vas_api_latency_seconds_count{endpoint="segment"}' in metrics
        eventually(lambda: gateway.status(camera)["state"] in ("retrying", "refused"), WAIT_S)
        assert "or its secret (401)" in gateway.status(camera)["reason"]
        log = gateway.log.read_text()
    assert "VAS token renewed" in log
    assert not [secret for secret in (SECRET, *vas.issued) if secret in log]
