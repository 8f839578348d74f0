"""What `people_hog` finds on the rendered street, whose truth is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from converters.builtin_hog import MIN_PERSON_PX, SPEC, build
from converters.verify import onnx_runner
from gateway.sources.demo import DemoStreet

FRAMES = range(0, 300, 2)


def on_canvas(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a 16:9 luma plane onto the model's canvas, as NV12 without colour."""
    frame = np.full(SPEC.frame_shape, 128, np.uint8)
    frame[: SPEC.height] = cv2.resize(luma, (SPEC.width, SPEC.height), interpolation=cv2.INTER_LINEAR)
    return frame


def overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    sides = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)
    shared = sides.prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


@pytest.mark.slow
def test_people_of_the_demo_street_are_found_and_few_others():
    street, run = DemoStreet(people=3, seed=1), onnx_runner(build().model.SerializeToString())
    scale = SPEC.width / street.size_wh[0]
    whole = found = false_alarms = 0
    for k in FRAMES:
        rows = run(on_canvas(street.render(k)[0])[None])[0][:, :4] / scale
        people = street.ground_truth(k)
        boxes = [np.array(person.xyxy, np.float32) for person in people]
        for person, box in zip(people, boxes, strict=True):
            if person.visible > 0.99:
                assert (box[3] - box[1]) * scale >= MIN_PERSON_PX
                whole += 1
                found += any(overlap(box, row) >= 0.5 for row in rows)
        false_alarms += sum(all(overlap(box, row) < 0.3 for box in boxes) for row in rows)
    assert whole > 100
    assert found >= 0.9 * whole
    assert false_alarms <= len(FRAMES) / 50
