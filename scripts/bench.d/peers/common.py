"""What the peers' scripts share: arguments, a count, and the plain OpenCV code around a YOLO that people write."""

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import cv2
import numpy as np

SIZE = 320
SCORE = 0.25
NMS_IOU = 0.45
MODEL = "detector_raw"


def arguments() -> argparse.Namespace:
    """What the benchmark asks of a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clip", required=True)
    parser.add_argument("--cameras", type=int, required=True)
    parser.add_argument("--grpc", required=True, metavar="HOST:PORT")
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    parser.add_argument("--pace", choices=("max", "realtime"), default="max")
    cv2.setNumThreads(1)
    return parser.parse_args()


class Tally:
    """Counts results; the benchmark writes `begin` and `end` to standard input, and reads one JSON object back."""

    def __init__(self) -> None:
        self._ages_s: list[float] = []
        self._frames: Counter[int] = Counter()
        self._lock = threading.Lock()
        threading.Thread(target=self._obey, daemon=True).start()

    def result(self, camera: int, decoded_s: float) -> None:
        """A frame that was decoded at `decoded_s` (monotonic seconds) has its detections."""
        age_s = time.monotonic() - decoded_s
        with self._lock:
            self._ages_s.append(age_s)
            self._frames[camera] += 1

    def _obey(self) -> None:
        while not self._frames:
            time.sleep(0.01)
        print("ready", flush=True)
        for line in sys.stdin:
            with self._lock:
                ages_s, frames = self._ages_s, self._frames
                self._ages_s, self._frames = [], Counter()
            if line.strip() == "end":
                p50, p99 = (float(each) * 1000 for each in np.percentile(ages_s, (50, 99))) if ages_s else (None, None)
                print(json.dumps({"frames": dict(frames), "p50_ms": p50, "p99_ms": p99}), flush=True)


class TimedCapture:
    """A cv2.VideoCapture that remembers when each of its pictures was decoded, for peers that read by themselves."""

    _decoded_s: ClassVar[dict[int, float]] = {}
    _original = cv2.VideoCapture

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401
        self._capture = TimedCapture._original(*arguments)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._capture, name)

    def retrieve(self, *arguments: Any) -> tuple[bool, Any]:  # noqa: ANN401
        """Decode what was grabbed."""
        read = self._capture.retrieve(*arguments)
        self._decoded_s[id(read[1])] = time.monotonic()
        return read

    @classmethod
    def decoded_s(cls, picture: Any) -> float | None:  # noqa: ANN401
        """When the picture was decoded (monotonic seconds); asked once."""
        return cls._decoded_s.pop(id(picture), None)


def frames(options: argparse.Namespace, camera: int) -> Iterator[tuple[np.ndarray, float]]:
    """Pictures (BGR) of one camera for ever, each with the monotonic second at which it was decoded."""
    wait = pacer(options, camera)
    while True:
        capture = cv2.VideoCapture(options.clip)
        while wait() and (read := capture.read())[0]:
            yield read[1], time.monotonic()
        capture.release()


def pacer(options: argparse.Namespace, camera: int) -> Callable[[], bool]:
    """Waits for the next frame's time where cameras are live."""
    if options.pace == "max":
        return lambda: True
    period_s = 1 / cv2.VideoCapture(options.clip).get(cv2.CAP_PROP_FPS)
    due_s = time.monotonic() + period_s * camera / options.cameras

    def wait() -> bool:
        nonlocal due_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        due_s = max(due_s + period_s, time.monotonic() - 1)
        return True

    return wait


def tensor(picture: np.ndarray) -> np.ndarray:
    """A picture as the network wants it: `[1, 3, 320, 320]` float32, scaled into the top left, grey around."""
    scale = min(SIZE / picture.shape[0], SIZE / picture.shape[1])
    height, width = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    canvas[:height, :width] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas.transpose(2, 0, 1)[None].astype(np.float32)


def detections(rows: np.ndarray) -> np.ndarray:
    """`[84, 2100]` float32 to `[n, 6]`: x, y, width, height, score, class, after suppression."""
    scores = rows[4:].max(0)
    kept = scores > SCORE
    boxes, scores, classes = rows[:4, kept].T, scores[kept], rows[4:, kept].argmax(0)
    boxes[:, :2] -= boxes[:, 2:] / 2
    best = np.asarray(cv2.dnn.NMSBoxesBatched(boxes, scores, classes, SCORE, NMS_IOU), int).reshape(-1)
    return np.column_stack([boxes, scores, classes])[best]
