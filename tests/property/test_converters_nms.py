"""Suppression in the graph against suppression in plain NumPy, for every index of a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from converters.nms import Candidates, append_nms
from converters.onnx_graph import GraphBuilder
from converters.parity import rows_of
from converters.reference import session, suppressed
from converters.spec import Letterbox, ModelSpec, Task

COUNT = 60


def spec(classes=3, **changes):
    fields = {"score_threshold": 0.3, "nms_iou": 0.45, "max_detections": 10} | changes
    labels = tuple(f"class_{index}" for index in range(classes))
    size = {"height": 64, "width": 64, "letterbox": Letterbox.CENTER, "pad_luma": 16}
    return ModelSpec(task=Task.DETECT, labels=labels, **size, **fields)


def graph_session(chosen, count=COUNT, opset=11):
    graph = GraphBuilder(prefix="nms", opset=opset)
    append_nms(graph, Candidates(boxes="boxes", scores="scores", classes="classes", count=count), chosen)
    tensor = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "nms",
            [
                tensor("boxes", TensorProto.FLOAT, ["b", count, 4]),
                tensor("scores", TensorProto.FLOAT, ["b", count]),
                tensor("classes", TensorProto.INT64, ["b", count]),
            ],
            [
                tensor("detections", TensorProto.FLOAT, ["b", chosen.max_detections, 6]),
                tensor("num_detections", TensorProto.INT32, ["b", 1]),
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    return session(model.SerializeToString())


def scene(generator, batch, classes, count=COUNT, crowd=6):
    """Boxes that crowd around a few places, so that many overlap."""
    places = generator.uniform(0, 60, (batch, crowd, 2))
    centre = np.take_along_axis(places, generator.integers(0, crowd, (batch, count, 1)), axis=1)
    centre = centre + generator.normal(0, 3, (batch, count, 2))
    half = generator.uniform(2, 15, (batch, count, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=2).astype(np.float32)
    scores = generator.permuted(np.linspace(0.01, 0.99, count)[None].repeat(batch, 0), axis=1).astype(np.float32)
    return boxes, scores, generator.integers(0, classes, (batch, count))


def check(run, chosen, boxes, scores, classes):
    outputs = run.run(["detections", "num_detections"], {"boxes": boxes, "scores": scores, "classes": classes})
    for index, rows in enumerate(rows_of(*outputs)):
        expected = suppressed(
            boxes[index],
            scores[index],
            classes[index],
            score_threshold=chosen.score_threshold,
            nms_iou=chosen.nms_iou,
            max_detections=chosen.max_detections,
        )
        np.testing.assert_array_equal(rows, expected)
        assert not outputs[0][index, len(rows) :].any()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 5), limit=st.sampled_from([1, 10, 60]))
def test_every_index_of_a_batch_gets_its_own_rows(seed, batch, limit):
    chosen = spec(max_detections=limit)
    check(graph_session(chosen), chosen, *scene(np.random.default_rng(seed), batch, 3))


@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_the_same_rows_in_every_opset(opset):
    chosen = spec()
    check(graph_session(chosen, opset=opset), chosen, *scene(np.random.default_rng(1), 3, 3))


def test_fewer_candidates_than_rows_are_padded_with_zeros():
    chosen = spec(max_detections=100)
    check(graph_session(chosen, count=20), chosen, *scene(np.random.default_rng(1), 2, 3, count=20))


def test_overlapping_boxes_of_different_classes_all_stay():
    chosen = spec(classes=3)
    boxes = np.tile(np.float32([0, 0, 10, 10]), (1, COUNT, 1))
    scores = np.linspace(0.9, 0.4, COUNT, dtype=np.float32)[None]
    classes = (np.arange(COUNT) % 3)[None]
    check(graph_session(chosen), chosen, boxes, scores, classes)


def test_a_picture_without_objects_beside_one_with_many_stays_empty():
    chosen = spec()
    boxes, scores, classes = scene(np.random.default_rng(2), 3, 3)
    scores[1] = 0.1
    boxes[1] = np.inf
    counts = (
        graph_session(chosen).run(["num_detections"], {"boxes": boxes, "scores": scores, "classes": classes})[0].ravel()
    )
    assert counts[1] == 0
    assert counts[0] > 0 < counts[2]


def test_a_box_that_overflowed_leaves_no_trace_in_empty_rows():
    chosen = spec()
    boxes, scores, classes = scene(np.random.default_rng(2), 1, 3)
    boxes[0, np.argmin(scores[0])] = np.inf
    detections = graph_session(chosen).run(["detections"], {"boxes": boxes, "scores": scores, "classes": classes})[0]
    assert np.isfinite(detections).all()
