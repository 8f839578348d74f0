"""Four of sixteen cameras hang, flood, send rubbish and drop: the other twelve don't notice."""

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.domain.camera import CameraState
from gateway.domain.clock import SystemClock
from gateway.domain.frame import Frame
from gateway.sources import CameraReader, open_source
from gateway.sources.reader import Listener
from gateway.sources.turnstile import TurnGate, Turnstile
from tests.support.http_camera import running_http_camera_process
from tests.support.triton_server import eventually

FPS = 5.0
SECONDS = 20.0
KEPT = 0.99
KEPT_BY_EACH = 0.97
"""Three frames: what a machine that stood still for half a second takes from a camera, with or without bad ones."""

SETTLE_S = 2.0
"""Which pictures a decoder may leave out is found out in the first seconds."""


class Watched:
    """A camera that is read, and what came of it."""

    def __init__(self, name: str, url: str) -> None:
        self.times_s: list[float] = []
        self.states: Counter[CameraState] = Counter()
        self.crashes: list[BaseException] = []
        listener = Listener(
            frame=self._take,
            state=lambda state, _: self.states.update([state]),
            crash=self.crashes.append,
        )
        clock = SystemClock()
        self.reader = CameraReader(name, lambda: open_source(url, clock), TurnGate(FPS, Turnstile(16)), listener, clock)

    def _take(self, frame: Frame) -> None:
        self.times_s.append(frame.time_s)
        self.reader.frame_left()


@pytest.mark.slow
def test_twelve_good_cameras_keep_their_frames_beside_four_bad_ones(data_dir: Path):
    clip = data_dir / "video" / "people_one_by_one_50s.mp4"
    with running_http_camera_process() as server, running_http_camera_process() as bad_server:
        good = [f"file://{clip}?loop=1"] * 4
        good += [f"demo:?size=320x180&fps=10&seed={seed}" for seed in range(4)]
        good += [f"{server}/mjpeg?rate=10"] * 4
        bad = [f"{bad_server}/{path}" for path in ("hang", "flood", "garbage", "ends?rate=100")]
        cameras = [Watched(f"{k}", url) for k, url in enumerate(bad + good)]
        (hang, flood, garbage, drop), twelve = cameras[:4], cameras[4:]
        for camera in cameras:
            camera.reader.start()
        try:
            eventually(lambda: all(camera.times_s for camera in twelve), 20)
            time.sleep(SETTLE_S)
            began_s = [camera.times_s[-1] for camera in twelve]
            time.sleep(SECONDS)
            shares = []
            for camera, first_s in zip(twelve, began_s, strict=True):
                times_s = [time_s for time_s in list(camera.times_s) if time_s >= first_s]
                shares.append((len(times_s) - 1) / ((times_s[-1] - times_s[0]) * FPS))
                assert times_s[-1] - times_s[0] > SECONDS * 0.8
        finally:
            for camera in cameras:
                camera.reader.stop()
            for camera in cameras:
                camera.reader.join()
    assert sum(shares) / len(shares) >= KEPT, shares
    assert min(shares) >= KEPT_BY_EACH, shares
    assert not any(camera.crashes for camera in cameras)
    assert hang.states[CameraState.STALLED] >= 1
    assert len(flood.times_s) <= (SECONDS + 20) * FPS
    assert garbage.states[CameraState.RETRYING] >= 1
    assert garbage.states[CameraState.LIVE] == 0
    assert drop.states[CameraState.LIVE] >= 2
    assert not [t for t in threading.enumerate() if t.name.startswith("camera-")]
