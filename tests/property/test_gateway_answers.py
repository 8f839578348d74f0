"""From a model's rows to detections in source pixels."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.domain.letterbox import Letterbox, LetterboxMode
from gateway.domain.model import ModelContract, Task
from gateway.errors import ModelContractError
from gateway.inference.contract import to_detections

JOINTS = 2
CONTRACT = ModelContract(
    name="people",
    version="1",
    task=Task.POSE,
    input_wh=(416, 416),
    letterbox=LetterboxMode.CENTER,
    pad_luma=16,
    labels=("person", "car"),
    keypoints=("left hand", "right hand"),
    max_detections=5,
)
BOXES_ALONE = msgspec.structs.replace(CONTRACT, task=Task.DETECT, keypoints=())
Size = st.tuples(st.integers(2, 4000), st.integers(2, 4000))
Coordinate = st.floats(-100, 600, width=32)


@given(
    rows=arrays(np.float32, (5, 6 + 3 * JOINTS), elements=Coordinate),
    count=st.integers(0, 5),
    source_wh=Size,
    mode=st.sampled_from(LetterboxMode),
)
def test_boxes_and_keypoints_go_the_same_way_back_as_the_picture_came(rows, count, source_wh, mode):
    rows[:, 5] = 1
    letterbox = Letterbox.fit(source_wh, (416, 416), mode)
    found = to_detections(rows, count, CONTRACT, letterbox, source_wh)
    boxes = letterbox.to_source(rows[:count, :4].reshape(-1, 2), source_wh).reshape(-1, 4)
    np.testing.assert_array_equal(found.xyxy, boxes)
    points = rows[:count, 6:].reshape(-1, JOINTS, 3)
    np.testing.assert_array_equal(found.keypoints[..., :2], letterbox.to_source(points[..., :2], source_wh))
    np.testing.assert_array_equal(found.keypoints[..., 2], points[..., 2])
    np.testing.assert_array_equal(found.score, rows[:count, 4])
    assert found.class_id.tolist() == [1] * count
    alone = to_detections(rows[:, :6], count, BOXES_ALONE, letterbox, source_wh)
    np.testing.assert_array_equal(alone.xyxy, boxes)
    assert alone.keypoints.shape == (count, 0, 3)


NO_NUMBER = st.sampled_from([np.nan, np.inf, -np.inf])


@given(no_number=NO_NUMBER, row=st.integers(0, 4), column=st.integers(0, 5), count=st.integers(1, 5))
def test_a_box_that_is_no_finite_number_is_refused_where_it_counts(no_number, row, column, count):
    rows = np.ones((5, 6 + 3 * JOINTS), np.float32)
    rows[row, column] = no_number
    letterbox = Letterbox.fit((416, 416), (416, 416), LetterboxMode.CENTER)
    if row < count:
        with pytest.raises(ModelContractError, match="no finite number; its precision"):
            to_detections(rows, count, CONTRACT, letterbox, (416, 416))
    else:
        assert len(to_detections(rows, count, CONTRACT, letterbox, (416, 416))) == count


@given(no_number=NO_NUMBER, column=st.integers(6, 8))
def test_a_keypoint_that_is_no_finite_number_is_not_seen_and_the_others_are(no_number, column):
    rows = np.ones((5, 6 + 3 * JOINTS), np.float32)
    rows[0, column] = no_number
    letterbox = Letterbox.fit((416, 416), (416, 416), LetterboxMode.CENTER)
    found = to_detections(rows, 2, CONTRACT, letterbox, (416, 416))
    assert found.keypoints.tolist() == [[[0, 0, 0], [1, 1, 1]], [[1, 1, 1], [1, 1, 1]]]


def test_what_was_found_stays_when_the_slot_gets_its_next_answer():
    rows = np.ones((5, 12), np.float32)
    letterbox = Letterbox.fit((416, 416), (416, 416), LetterboxMode.CENTER)
    found = to_detections(rows, 2, CONTRACT, letterbox, (416, 416))
    rows[:] = 0
    assert (found.xyxy == 1).all()
    assert (found.score == 1).all()
    assert (found.keypoints == 1).all()


@pytest.mark.parametrize(
    ("count", "label", "words"),
    [(6, 0, "6 of 5"), (-1, 0, "-1 of 5"), (1, 2, "class 2"), (1, -1, "outside the 2 labels")],
)
def test_an_answer_that_contradicts_the_declaration_is_refused(count: int, label: int, words: str):
    rows = np.full((5, 12), label, np.float32)
    letterbox = Letterbox.fit((416, 416), (416, 416), LetterboxMode.CENTER)
    with pytest.raises(ModelContractError, match=words):
        to_detections(rows, count, CONTRACT, letterbox, (416, 416))
