"""Direct calls against a real Triton: what `replay` finds in a frame, whoever asks."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from gateway.domain.clock import SystemClock
from gateway.sources import open_source
from tests.support.ring_producer import Ring, documented_client, producing, ring_name, to_nv12
from tests.support.running_gateway import RunningGateway, running_gateway
from tests.support.triton_server import RunningTriton, eventually, free_ports, running_triton


@pytest.fixture(scope="module")
def stack(
    people_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RunningGateway, RunningTriton]]:
    folder, port = tmp_path_factory.mktemp("direct"), free_ports(1)[0]
    with (
        running_gateway(
            folder / "gateway", port=port, env={"RUTH_AI_MODEL_SOCKET_DIR": str(folder / "sockets")}
        ) as gateway,
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


@pytest.fixture(params=["C", "the documented Python"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str, dict[str, Any]], Any]:
    """A client of the socket protocol."""
    if request.param != "C":
        return documented_client()
    program = str(tmp_path / "client")
    source = str(Path(__file__).parents[1] / "support" / "seed3_client.c")
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)

    def run(path: str, message: dict[str, Any]) -> Any:
        return json.loads(subprocess.run([program, path, json.dumps(message)], check=True, capture_output=True).stdout)

    return run


def test_a_client_of_the_socket_protocol_gets_the_detections_that_replay_gives_for_the_same_frame(
    stack, clip, replayed, ask
):
    source = open_source(f"file://{clip}?pace=max", SystemClock())
    source.open(0.0)
    gateway = stack[0]
    path = str(gateway.data_dir.parent / "sockets" / "vas_model_people.sock")
    eventually(Path(path).exists, 10)
    with ring_name() as name:
        ring = Ring(name, 768, 432, slots=8)
        for expected in replayed:
            frame = source.read()
            number = ring.write(to_nv12(frame))
            metadata = {"frame_id": number, "width": 768, "height": 432, "format": "NV12"}
            answer = ask(
                path,
                {
                    "frame_reference": f"/dev/shm/{name}",
                    "frame_metadata": metadata,
                    "camera_id": "camera_1",
                    "model_id": "people",
                    "timestamp": 1735598400.123,
                },
            )
            assert answer["error"] is None
            assert (answer["model_id"], answer["camera_id"], answer["frame_id"]) == ("people", "camera_1", number)
            assert in_pixels(answer["detections"], 768, 432) == expected
    source.close()


def test_frames_of_another_program_are_inferred_as_a_cameras_and_direct_calls_go_on_beside_them(stack, clip):
    gateway = stack[0]
    with av.open(str(clip)) as container:
        picture = next(bytes(packet) for packet in container.demux(video=0) if packet.size)
    with ring_name() as name, producing(name, fps=25, size_wh=(768, 432)):
        camera = gateway.add_camera(f"shm:///{name}", "people", fps=5)
        eventually(lambda: gateway.status(camera)["frames_inferred"] > 3, 30)
        assert infer(gateway, picture)["objects"]
        status = gateway.status(camera)
        assert (status["state"], status["reason"]) == ("live", "")
    eventually(lambda: gateway.status(camera)["state"] != "live", 10)
    reason = gateway.status(camera)["reason"]
    assert "has gone" in reason or "isn't running" in reason
    gateway.send("DELETE", f"/api/v1/cameras/{camera}")


def in_pixels(detections: list[dict[str, Any]], width: int, height: int) -> list[dict[str, Any]]:
    """As `replay` prints them."""
    return [
        {
            "label": found["class_name"],
            "score": found["confidence"],
            "box": pytest.approx(
                [side * size for side, size in zip(found["bbox"], (width, height) * 2, strict=True)], abs=0.006
            ),
        }
        for found in detections
    ]


def infer(gateway: RunningGateway, picture: bytes) -> Any:
    headers = {"Content-Type": "image/jpeg"}
    request = urllib.request.Request(f"{gateway.url}/api/v1/infer/people", picture, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
