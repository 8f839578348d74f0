"""A fused model behind a Triton, run as `verify.onnx_runner` runs it by itself."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from converters.parity import Rows, rows_of
from converters.spec import COUNT_NAME, DETECTIONS_NAME, INPUT_NAME, SCORES_NAME, Task
from converters.triton_server import TrialServer


def triton_runner(
    server: TrialServer, name: str, task: Task, version: int | None = None
) -> Callable[[NDArray[np.uint8]], Rows]:
    """Return a function from NV12 frames uint8 `[b, H * 3 / 2, W]` to the rows of each frame.

    Without a version the newest that is loaded is asked.

    Raises (the function):
        ModelError: Triton refuses or fails the request.
    """

    def run(frames: NDArray[np.uint8]) -> Rows:
        if task is Task.CLASSIFY:
            return list(server.infer(name, {INPUT_NAME: frames}, (SCORES_NAME,), version)[0])
        detections, counts = server.infer(name, {INPUT_NAME: frames}, (DETECTIONS_NAME, COUNT_NAME), version)
        return rows_of(detections, counts)

    return run
