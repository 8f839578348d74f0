"""No framework: PyAV, planes scaled into shared memory, Triton's HTTP by hand; a thread for each camera."""

import http.client
import json
import mmap
import os
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from common import SIZE, Tally, arguments, pacer

BYTES = SIZE * SIZE * 3 // 2


def camera(options: Namespace, number: int, tally: Tally) -> None:
    """One camera for ever."""
    key = f"/ruth-bench-{os.getpid()}-{number}"
    path = Path("/dev/shm", key[1:])  # noqa: S108
    with path.open("w+b") as file:
        file.truncate(BYTES)
        region = np.frombuffer(mmap.mmap(file.fileno(), BYTES), np.uint8).reshape(SIZE * 3 // 2, SIZE)
    region[:SIZE], region[SIZE:] = 114, 128
    connection = http.client.HTTPConnection(options.http)
    post(connection, f"/v2/systemsharedmemory/region{key}/register", {"key": key, "offset": 0, "byte_size": BYTES})
    path.unlink()  # Triton and this process have it mapped
    shared = {"shared_memory_region": key[1:], "shared_memory_byte_size": BYTES}
    body = json.dumps(
        {"inputs": [{"name": "frames", "datatype": "UINT8", "shape": [1, SIZE * 3 // 2, SIZE], "parameters": shared}],
         "outputs": [{"name": n, "parameters": {"binary_data": True}} for n in ("detections", "num_detections")]}
    ).encode()  # fmt: skip
    for picture, decoded_s in pictures(options, number):
        scale_into(region, picture)
        connection.request("POST", "/v2/models/detector/infer", body)
        answer = connection.getresponse()
        content = answer.read()
        rows = np.frombuffer(content, np.float32, 600, int(answer.headers["Inference-Header-Content-Length"]))
        rows.reshape(100, 6)
        tally.result(number, decoded_s)


def post(connection: http.client.HTTPConnection, path: str, body: object) -> None:
    """A call whose answer doesn't matter."""
    connection.request("POST", path, json.dumps(body))
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(answer.read())
    answer.read()


def pictures(options: Namespace, number: int) -> Iterator[tuple[av.VideoFrame, float]]:
    """Decoded pictures for ever, each with the monotonic second at which it was."""
    wait = pacer(options, number)
    while True:
        with av.open(options.clip) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for picture in container.decode(video=0):
                wait()
                yield picture, time.monotonic()


def scale_into(region: np.ndarray, picture: av.VideoFrame) -> None:
    """Scale the planes of a picture into the top left of an NV12 canvas."""
    scale = min(SIZE / picture.height, SIZE / picture.width)
    width, height = int(picture.width * scale) // 2 * 2, int(picture.height * scale) // 2 * 2
    y, u, v = (np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in picture.planes)
    region[:height, :width] = cv2.resize(y, (width, height))
    for i, plane in enumerate((u, v)):
        region[SIZE : SIZE + height // 2, i:width:2] = cv2.resize(plane, (width // 2, height // 2))


def main() -> None:
    """Run until killed."""
    options, tally = arguments(), Tally()
    for number in range(options.cameras):
        threading.Thread(target=camera, args=(options, number, tally), daemon=True).start()
    threading.Event().wait()


main()
