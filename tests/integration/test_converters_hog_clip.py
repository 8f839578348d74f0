"""What `people_hog` finds in a real recording: a raised indoor camera, one person at a time."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from converters.builtin_hog import SPEC, build
from converters.pictures import nv12_of, on_canvas
from converters.verify import onnx_runner

EVERY = 5
FPS = 10.0


def best_scores(clip: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time and best score of every fifth frame; 0 where nobody is found."""
    run, capture = onnx_runner(build().model.SerializeToString()), cv2.VideoCapture(str(clip))
    scores: list[float] = []
    while capture.grab():
        if int(capture.get(cv2.CAP_PROP_POS_FRAMES)) % EVERY == 0:
            picture = np.asarray(capture.retrieve()[1], dtype=np.uint8)
            rows = run(nv12_of(on_canvas(picture, SPEC))[None])[0]
            scores.append(float(rows[0, 4]) if len(rows) else 0.0)
    return np.arange(len(scores)) * EVERY / FPS, np.array(scores)


@pytest.mark.slow
def test_both_visitors_are_seen_and_the_empty_room_is_nobody(data_dir: Path):
    time_s, score = best_scores(data_dir / "video" / "people_one_by_one_50s.mp4")
    present = ((time_s > 7) & (time_s < 18)) | ((time_s > 24) & (time_s < 43))
    absent = (time_s < 5) | ((time_s > 20.5) & (time_s < 22)) | (time_s > 46)
    assert len(score) == 100
    assert (score[present] > 0).mean() >= 0.85
    assert (score[absent] > 0).mean() <= 0.05
