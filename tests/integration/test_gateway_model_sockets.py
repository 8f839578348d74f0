"""The models' sockets: the protocol's edges, with a pipeline that answers at once."""

import asyncio
import json
import socket
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.errors import RuntimeBusyError
from gateway.ipc import ModelSockets, sockets
from tests.support.fake_control import FakeControl
from tests.support.pictures import CONTRACT
from tests.support.ring_producer import Ring, grey_nv12, ring_name

WAIT_S = 10


@pytest.fixture
def name() -> Iterator[str]:
    with ring_name() as unused:
        yield unused


@pytest.fixture
def control() -> FakeControl:
    control = FakeControl()
    control.contracts = {"people": CONTRACT, "pose": msgspec.structs.replace(CONTRACT, name="pose")}
    return control


@pytest.fixture
async def folder(control: FakeControl, tmp_path: Path) -> AsyncIterator[Path]:
    async with listening(control, tmp_path):
        yield tmp_path


class listening:  # noqa: N801 - used as a context
    """Runs the sockets of a folder."""

    def __init__(self, control: FakeControl, folder: Path, timeout_s: float = 0.5) -> None:
        self._sockets = ModelSockets(folder, control, message_timeout_s=timeout_s)
        self._folder = folder

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._sockets.run())
        async with asyncio.timeout(WAIT_S):
            while not self._sockets._listening.keys() | self._sockets._refused.keys() >= {"people", "pose"}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})


def a_request(name: str, **changes: object) -> dict[str, Any]:
    request: dict[str, Any] = {
        "frame_reference": f"/dev/shm/{name}",
        "frame_metadata": {"frame_id": 1, "width": 64, "height": 48, "format": "NV12"},
        "camera_id": "camera_1",
        "model_id": "people",
        "timestamp": 1735598400.123,
    }
    for key, value in changes.items():
        (request["frame_metadata"] if key in request["frame_metadata"] else request)[key] = value
    return request


def with_length(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


async def converse(folder: Path, *messages: bytes | object, model: str = "people") -> list[Any]:
    """Send messages, each with its length unless it is bytes as they are, and read as many responses."""
    reader, writer = await asyncio.open_unix_connection(str(folder / f"vas_model_{model}.sock"))
    responses = []
    try:
        async with asyncio.timeout(WAIT_S):
            for message in messages:
                writer.write(message if isinstance(message, bytes) else with_length(json.dumps(message).encode()))
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                responses.append(json.loads(await reader.readexactly(length)))
    finally:
        writer.close()
    return responses


async def test_a_frame_of_a_ring_and_a_bare_picture_are_answered_alike(folder: Path, name: str):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    with ring_name() as bare:
        (Path("/dev/shm") / bare).write_bytes(grey_nv12(64, 48, 0))
        from_ring, from_bare = await converse(folder, a_request(name), a_request(bare, frame_id=42))
    assert from_ring == {
        "model_id": "people",
        "camera_id": "camera_1",
        "frame_id": 1,
        "detections": [
            {
                "class_id": 0,
                "class_name": "person",
                "confidence": 0.9,
                "bbox": pytest.approx([1 / 64, 2 / 48, 3.456 / 64, 4 / 48]),
            }
        ],
        "metadata": {"inference_time_ms": 12.5, "model_version": "2", "runtime_id": "triton-1"},
        "error": None,
    }
    assert from_bare == {**from_ring, "frame_id": 42}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"frame_reference": "/etc/passwd"}, "a frame_reference is /dev/shm/NAME"),
        ({"frame_reference": "/dev/shm/../../etc/passwd"}, "a frame_reference is /dev/shm/NAME"),
        ({"frame_reference": "/dev/shm/.."}, "no name of a file"),
        ({"frame_reference": "/dev/shm/"}, "no name of a file"),
        ({"frame_reference": "/dev/shm/ruth_test_none"}, "isn't running"),
        ({"frame_reference": "ring"}, "a frame_reference is /dev/shm/NAME"),
        ({"format": "RGB"}, "NV12, not 'RGB'"),
        ({"width": 63}, "sides are even"),
        ({"width": 1 << 40}, "sides are even"),
        ({"width": 32}, "are 64 x 48, not 32 x 48"),
        ({"frame_id": 2}, "the newest is 1"),
        ({"frame_id": -3}, "the newest is 1"),
        ({"frame_id": 0}, "the newest is 1"),
        ({"model_id": "pose"}, "the socket of model people, not of 'pose'"),
    ],
)
async def test_a_frame_that_cannot_be_had_is_an_error_of_its_request_alone(
    folder: Path, name: str, changes: dict[str, object], said: str
):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    refused, answered = await converse(folder, a_request(name, **changes), a_request(name))
    assert said in refused["error"]
    assert (refused["detections"], refused["camera_id"]) == ([], "camera_1")
    assert answered["error"] is None


async def test_a_link_and_a_file_of_another_size_are_no_frame(folder: Path, name: str):
    path = Path("/dev/shm") / name
    path.symlink_to("/etc/passwd")
    assert "no plain file" in (await converse(folder, a_request(name)))[0]["error"]
    path.unlink()
    path.write_bytes(b"\0" * 100)
    assert "with 100 bytes no NV12 picture" in (await converse(folder, a_request(name)))[0]["error"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b'{"camera_id": 5}', b"null", b"[" * 50_000])
async def test_a_message_that_is_no_request_is_told_so_and_the_connection_goes_on(
    folder: Path, name: str, content: bytes
):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    bad, good = await converse(folder, with_length(content), a_request(name))
    assert "no InferenceRequest" in bad["error"]
    assert (bad["camera_id"], bad["frame_id"], bad["model_id"]) == (None, None, "people")
    assert good["error"] is None


@pytest.mark.parametrize("length", [struct.pack("<I", 312), struct.pack(">I", 0), b"GET "])
async def test_after_a_length_that_cannot_be_meant_the_connection_is_closed(folder: Path, length: bytes):
    (response,) = await converse(folder, length)
    assert "big-endian" in response["error"]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await converse(folder, length, {})


async def test_half_a_message_is_not_waited_for_for_ever(folder: Path, name: str):
    (response,) = await converse(folder, struct.pack(">I", 100) + b'{"camera')
    assert "within 0.5 s" in response["error"]


async def test_a_client_that_leaves_in_the_middle_disturbs_nobody(folder: Path, name: str):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    for part in (b"", b"\0", struct.pack(">I", 9) + b"{"):
        _, writer = await asyncio.open_unix_connection(str(folder / "vas_model_people.sock"))
        writer.write(part)
        writer.close()
    assert (await converse(folder, a_request(name)))[0]["error"] is None


async def test_what_fails_behind_is_said_on_its_own_socket_and_the_other_model_answers(
    folder: Path, name: str, control: FakeControl
):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    control.failing = {"people": RuntimeBusyError("no turn")}
    (failed,), (fine,) = await asyncio.gather(
        converse(folder, a_request(name)), converse(folder, a_request(name, model_id="pose"), model="pose")
    )
    assert (failed["error"], failed["frame_id"]) == ("no turn", 1)
    assert fine["error"] is None


async def test_more_connections_than_allowed_are_turned_away(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    monkeypatch.setattr(sockets, "MAX_CONNECTIONS", 2)
    held = [await asyncio.open_unix_connection(str(folder / "vas_model_pose.sock")) for _ in range(2)]
    await asyncio.sleep(0.05)
    (refused,) = await converse(folder, a_request(name, model_id="pose"), model="pose")
    assert "2 connections of pose are open already" in refused["error"]
    assert (await converse(folder, a_request(name)))[0]["error"] is None, "another model's are not in its way"
    for _, writer in held:
        writer.close()


def modes(folder: Path) -> dict[str, str]:
    return {path.name: stat.filemode(path.stat().st_mode) for path in folder.iterdir()}


async def test_sockets_are_for_user_and_group_and_gone_at_the_end(control: FakeControl, tmp_path: Path):
    async with listening(control, tmp_path):
        assert modes(tmp_path) == {"vas_model_people.sock": "srw-rw----", "vas_model_pose.sock": "srw-rw----"}
    assert modes(tmp_path) == {}


async def test_a_socket_left_by_a_killed_gateway_is_replaced_and_anything_else_left_alone(
    control: FakeControl, tmp_path: Path, name: str
):
    Ring(name, 64, 48).write(grey_nv12(64, 48, 1))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "vas_model_people.sock"))
    stale.close()
    (tmp_path / "vas_model_pose.sock").write_text("a file of somebody's")
    async with listening(control, tmp_path):
        assert (await converse(tmp_path, a_request(name)))[0]["error"] is None
        assert (tmp_path / "vas_model_pose.sock").read_text() == "a file of somebody's"
        async with listening(control, tmp_path):  # a second process
            assert (await converse(tmp_path, a_request(name)))[0]["error"] is None
        assert (await converse(tmp_path, a_request(name)))[0]["error"] is None
    assert modes(tmp_path).keys() == {"vas_model_pose.sock"}
