"""NVIDIA's perf_analyzer against a published model, with real frames as its input."""

import base64
import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gateway.domain.clock import SystemClock
from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.inference.canvas import Canvas
from gateway.sources.file import FileSource
from gateway.sources.urls import Pace
from tests.support.triton_server import running_triton

CANVAS_WH = (416, 416)
FRAMES = 8
EVERY = 40


def canvases(clip):
    """Some frames of a clip as the gateway would send them, each `(H*3/2, W)` uint8."""
    source = FileSource(clip, loop=False, pace=Pace.MAX, clock=SystemClock())
    source.open(0.0)
    while (frame := source.read()) is not None:
        if frame.index % EVERY == 0:
            canvas = np.empty((CANVAS_WH[1] * 3 // 2, CANVAS_WH[0]), np.uint8)
            letterbox = Letterbox.fit(frame.resolution_wh, CANVAS_WH, LetterboxMode.TOP_LEFT)
            Canvas(canvas, letterbox, 114).write(frame)
            yield canvas
    source.close()


def test_perf_analyzer_measures_the_published_model_on_real_frames(people_repository, data_dir, tmp_path):
    frames = list(itertools.islice(canvases(data_dir / "video" / "people_one_by_one_50s.mp4"), FRAMES))
    data = tmp_path / "frames.json"
    data.write_text(json.dumps({"data": [{"frames": {"b64": base64.b64encode(f.tobytes()).decode()}} for f in frames]}))
    with running_triton(people_repository) as triton:
        command = [sys.executable, "-m", "triton_agent.cli", "perf-analyzer", "--", "-m", "people", "-i", "grpc"]
        command += ["-u", triton.grpc_url, "--input-data", str(data), "--concurrency-range", "2"]
        command += ["--measurement-mode", "count_windows", "--measurement-request-count", "40", "-s", "999", "-r", "3"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode == 3 and not os.environ.get("CI"):
        pytest.skip(run.stderr.strip())
    assert run.returncode == 0, run.stdout + run.stderr
    throughput = re.search(r"Throughput: ([0-9.]+) infer/sec", run.stdout)
    assert throughput is not None, run.stdout
    assert float(throughput[1]) > 0
