"""Direct calls against a real Triton: what `replay` finds in a frame, whoever asks."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import RunningTriton, eventually, free_ports, running_triton


@pytest.fixture(scope="module")
def stack(
    people_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, RunningTriton]]:
    folder, port = tmp_path_factory.mktemp("direct"), free_ports(1)[0]
    with (
        running_gateway(folder / "gateway", port=port) as gateway,
        running_triton(people_repository, gateway=gateway.url) as triton,
    ):
        eventually(lambda: gateway.send("GET", "/api/v1/health/ready")[0] == 200, 60)
        yield gateway, triton


@pytest.fixture(scope="module")
def clip(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few frames of people as MJPEG, so that each is a JPEG as it stands."""
    clip = tmp_path_factory.mktemp("clip") / "people.avi"
    reader = cv2.VideoCapture(str(data_dir / "video" / "people_one_by_one_50s.mp4"))
    reader.set(cv2.CAP_PROP_POS_FRAMES, 120)
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), 10, (768, 432))
    for _ in range(5):
        writer.write(reader.read()[1])
    writer.release()
    return clip


@pytest.fixture(scope="module")
def replayed(stack: tuple[RunningGateway, RunningTriton], clip: Path) -> list[dict[str, Any]]:
    """What `replay` finds in each frame of the clip."""
    command = [sys.executable, "-m", "gateway", "replay", "--video", str(clip), "--model", "people", "--json"]
    done = subprocess.run([*command, "--triton", stack[1].grpc_url], check=True, capture_output=True)
    frames = [frame["objects"] for frame in json.loads(done.stdout)["detections"]]
    assert all(frames)
    return frames


def test_a_picture_over_http_gets_the_detections_that_replay_gives_for_the_same_frame(stack, clip, replayed):
    with av.open(str(clip)) as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    answers = [infer(stack[0], picture) for picture in pictures]
    assert [answer["objects"] for answer in answers] == replayed
    assert {tuple(answer["resolution_wh"]) for answer in answers} == {(768, 432)}


def infer(gateway: RunningGateway, picture: bytes) -> Any:
    headers = {"Content-Type": "image/jpeg"}
    request = urllib.request.Request(f"{gateway.url}/api/v1/infer/people", picture, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
