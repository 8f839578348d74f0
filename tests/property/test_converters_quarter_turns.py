"""The turns of a frame and the merging of three answers, in the graph against plain NumPy."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from converters.onnx_graph import GraphBuilder
from converters.quarter_turns import LYING, SAME_PERSON, TURNED_WEIGHT, append_merge, append_views
from converters.quarter_turns_reference import ThreeViews
from converters.reference import session
from converters.spec import SCORE_THRESHOLD_NAME, Letterbox, ModelSpec, Task

SIDE = 32
SPEC = ModelSpec(
    task=Task.POSE,
    height=SIDE,
    width=SIDE,
    letterbox=Letterbox.TOP_LEFT,
    pad_luma=114,
    labels=("dog", "person", LYING),
    keypoints=("head", "foot"),
    score_threshold=0.25,
    nms_iou=0.45,
    max_detections=6,
)
VIEWS = ThreeViews(SPEC, person=1, turned_weight=TURNED_WEIGHT, same_person=SAME_PERSON)


def graph_session(graph, inputs, outputs):
    model = helper.make_model(
        helper.make_graph(graph.nodes, "views", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=8,
    )
    return session(model.SerializeToString())


def merging():
    graph = GraphBuilder(prefix="merge", opset=11)
    threshold = numpy_helper.from_array(np.array([SPEC.score_threshold], dtype=np.float32), SCORE_THRESHOLD_NAME)
    graph.initializers.append(threshold)
    append_merge(graph, "answers", SPEC)
    tensor = helper.make_tensor_value_info
    return graph_session(
        graph,
        [tensor("answers", TensorProto.FLOAT, ["v", SPEC.max_detections, SPEC.row_width])],
        [
            tensor("detections", TensorProto.FLOAT, ["b", SPEC.max_detections, SPEC.row_width]),
            tensor("num_detections", TensorProto.INT32, ["b", 1]),
        ],
    )


MERGING = merging()


def crowd(generator, count):
    """Rows as a detector of dogs and persons gives them: best first, whole pixels, the rest of the table zero."""
    table = np.zeros((SPEC.max_detections, SPEC.row_width), dtype=np.float32)
    corners = np.sort(generator.integers(0, SIDE + 1, (count, 2, 2)), axis=1)
    table[:count, :4] = corners.reshape(count, 4)
    table[:count, 4] = np.sort(generator.permutation(np.linspace(0.26, 0.99, 50))[:count])[::-1]
    table[:count, 5] = generator.choice([0, 1, 1], count)
    table[:count, 6:] = generator.uniform(0, SIDE, (count, SPEC.row_width - 6))
    return table


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 3))
def test_three_answers_are_merged_as_a_loop_over_rows_merges_them(seed, batch):
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, SPEC.max_detections + 1, (batch, 3))
    answers = np.stack([[crowd(generator, count) for count in frame] for frame in counts])
    flat = answers.reshape(3 * batch, SPEC.max_detections, SPEC.row_width)
    detections, counted = MERGING.run(None, {"answers": flat})
    for frame, table, number, found in zip(counts, answers, counted, detections, strict=True):
        up, left, right = (rows[:count] for rows, count in zip(table, frame, strict=True))
        expected = VIEWS.merged(up, left, right, SPEC.score_threshold)
        assert number[0] == len(expected)
        assert not found[len(expected) :].any()
        order = (
            np.lexsort((expected[:, 0], -expected[:, 4])),
            np.lexsort((found[: len(expected), 0], -found[: len(expected), 4])),
        )
        np.testing.assert_allclose(found[order[1]], expected[order[0]], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 3))
def test_frames_are_turned_as_numpy_turns_their_planes(seed, batch):
    graph = GraphBuilder(prefix="views", opset=11)
    out = append_views(graph, SPEC)
    tensor = helper.make_tensor_value_info
    turning = graph_session(
        graph,
        [tensor("frames", TensorProto.UINT8, ["b", *SPEC.frame_shape])],
        [tensor(out, TensorProto.FLOAT, ["v", *SPEC.frame_shape])],
    )
    frames = np.random.default_rng(seed).integers(0, 256, (batch, *SPEC.frame_shape), dtype=np.uint8)
    (views,) = turning.run(None, {"frames": frames})
    views = views.reshape(batch, 3, *SPEC.frame_shape)
    asked = []

    def reference(frames, _threshold):
        asked.append(frames)
        return [np.zeros((0, SPEC.row_width), dtype=np.float32)] * len(frames)

    VIEWS.of_nv12(reference, frames, 0.3)
    for index, expected in enumerate(asked):
        np.testing.assert_array_equal(views[:, index], expected)
