"""Comparing a fused graph with its original: what passes, and that what is wrong is caught."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import families
from converters.errors import ModelError
from converters.families import BuildOptions
from converters.onnx_file import parsed, read_onnx
from converters.parity import Judge
from converters.pictures import load_pictures, on_canvas, render_pictures
from converters.spec import Letterbox, ModelSpec, Task, Tolerance
from converters.verify import enough_rows, frames_of, verify
from tests.support.tiny_heads import overflowing, tiny_classifier, tiny_fastestdet, tiny_posenet
from tests.support.tiny_yolos import TinyYolo
from tests.support.tiny_yolox import saved, tiny_yolox

PICTURES = render_pictures()
SPEC = ModelSpec(
    task=Task.DETECT,
    height=64,
    width=96,
    letterbox=Letterbox.TOP_LEFT,
    pad_luma=114,
    labels=("a", "b"),
    score_threshold=0.3,
    nms_iou=0.45,
    max_detections=3,
)


def built(folder, **options):
    file = read_onnx(saved(tiny_yolox(**options), folder / "tiny.onnx"))
    return families.FAMILIES["yolox"].build(file, BuildOptions())


@pytest.mark.parametrize("opset", [11, 13, 16, 18, 21])
def test_a_fused_model_agrees_with_its_original_in_every_opset(tmp_path, opset):
    parity = verify(built(tmp_path, opset=opset), PICTURES)
    assert parity.same_pixels.rows > 50
    assert parity.same_pixels.unmatched == 0
    assert parity.same_pixels.box_px < 1e-2
    assert parity.from_rgb is not None


@pytest.mark.parametrize("batch", [1, 2, "n"])
def test_it_agrees_whatever_batch_the_original_was_exported_with(tmp_path, batch):
    assert verify(built(tmp_path, batch=batch), PICTURES).same_pixels.rows > 50


def test_one_class_and_another_aspect_agree_too(tmp_path):
    assert verify(built(tmp_path, classes=1, height=128, width=32), PICTURES).same_pixels.unmatched == 0


def changed(model, old, new):
    """A fused model with one constant changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    hits = 0
    for tensor in copy.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.size and np.array_equal(value, old):
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(new, dtype=np.float32), tensor.name))
            hits += 1
    assert hits == 1
    return copy


@pytest.mark.parametrize(("old", "new"), [(0.5, 0.51), ([0.45], [0.01]), (16.0, 0.0)], ids=["box", "nms", "colour"])
def test_a_graph_with_one_wrong_constant_is_refused_with_figures(tmp_path, old, new):
    sound = built(tmp_path)
    wrong = replace(sound, model=changed(sound.model, np.float32(old), new))
    with pytest.raises(ModelError, match=r"disagrees .* at batch size 1: \d+ rows matched"):
        verify(wrong, PICTURES)


def test_a_graph_that_answers_with_the_first_picture_for_all_is_refused(tmp_path):
    sound = built(tmp_path)
    wrong = onnx.ModelProto()
    wrong.CopyFrom(sound.model)
    for node in wrong.graph.node:
        if node.op_type == "Cast" and node.input[0] == "frames":
            first = f"{node.output[0]}/first"
            node.output[0], kept = first, node.output[0]
            zero = numpy_helper.from_array(np.array([0], dtype=np.int64), f"{first}/zero")
            wrong.graph.initializer.append(zero)
            picked = onnx.helper.make_node("Gather", [first, zero.name], [f"{first}/picked"], axis=0)
            nothing = onnx.helper.make_node("Sub", [first, first], [f"{first}/nothing"])
            spread = onnx.helper.make_node("Add", [picked.output[0], nothing.output[0]], [kept])
            at = list(wrong.graph.node).index(node) + 1
            for offset, extra in enumerate((picked, nothing, spread)):
                wrong.graph.node.insert(at + offset, extra)
    with pytest.raises(ModelError, match="at batch size 2"):
        verify(replace(sound, model=wrong), PICTURES)


def test_a_network_that_answers_for_one_picture_of_a_batch_is_refused_with_what_to_export_instead(tmp_path):
    model = TinyYolo().end_to_end()
    model.graph.node[-1].output[0] = "every"
    start, end = (
        numpy_helper.from_array(np.array([at], dtype=np.int64), name) for at, name in ((0, "first"), (1, "end"))
    )
    model.graph.initializer.extend([start, end])
    model.graph.node.append(onnx.helper.make_node("Slice", ["every", "first", "end", "first"], ["output0"]))
    file = read_onnx(saved(model, tmp_path / "nms.onnx"))
    with pytest.raises(ModelError, match=r"answers for 1 of the 2 pictures of a batch.*nms=False"):
        verify(families.FAMILIES["yolov10"].build(file, BuildOptions(labels=("a", "b", "c"))), PICTURES)


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 6)


JUDGE = Judge(SPEC, Tolerance(box_px=0.01, score=0.01), 0.3)
FIRST, SECOND = [0, 0, 10, 10, 0.9, 0], [40, 40, 50, 50, 0.8, 1]


def test_rows_are_matched_whatever_their_order():
    difference = JUDGE.compare([rows(FIRST, SECOND)], [rows(SECOND, FIRST)])
    assert (difference.rows, difference.unmatched, difference.box_px) == (2, 0, 0.0)


@pytest.mark.parametrize(
    ("found", "unmatched"),
    [
        (rows(FIRST), 1),
        (rows(FIRST, SECOND, SECOND), 1),
        (rows(FIRST, [*SECOND[:5], 0]), 2),
        (rows(FIRST, [90, 40, 99, 50, 0.8, 1]), 2),
    ],
    ids=["missing", "doubled", "other class", "elsewhere"],
)
def test_a_row_without_a_partner_counts(found, unmatched):
    assert JUDGE.compare([rows(FIRST, SECOND)], [found]).unmatched == unmatched


@pytest.mark.parametrize("column", range(9))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_agrees_with_nothing(column, value):
    sound = np.array([[0, 0, 10, 10, 0.9, 0, 5, 5, 0.8]], dtype=np.float32)
    void = sound.copy()
    void[0, column] = value
    for expected, found in ((sound, void), (void, sound), (void, void)):
        difference = JUDGE.compare([sound, expected], [sound, found])
        assert difference.unmatched
        assert not difference.within(JUDGE.tolerance)
    assert JUDGE.compare([sound], [sound]).within(JUDGE.tolerance)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_classifier_s_scores_that_are_no_numbers_agree_with_nothing(value):
    judge = Judge(replace(SPEC, task=Task.CLASSIFY), Tolerance(box_px=0.01, score=0.01), 0.3)
    sound, void = np.array([0.2, 0.8], np.float32), np.array([0.2, value], np.float32)
    for expected, found in ((sound, void), (void, sound), (void, void)):
        difference = judge.compare([sound, expected, sound], [sound, found, sound])
        assert (difference.rows, difference.unmatched) == (2, 1)


@pytest.mark.parametrize("sketch", [tiny_classifier, tiny_fastestdet, tiny_posenet])
def test_a_network_whose_scores_are_no_numbers_is_refused_and_told(sketch):
    model = overflowing(sketch())
    file = parsed("model.onnx", model.SerializeToString())
    built = families.choose(file)[0].build(file, BuildOptions())
    with pytest.raises(ModelError, match=r"the network itself gives .* of its output .* as NaN"):
        verify(built, PICTURES)


def test_an_output_that_no_head_reads_need_not_hold_numbers():
    model = TinyYolo().columns()
    model.graph.initializer.append(numpy_helper.from_array(np.array([[-1.0]], np.float32), "negative"))
    model.graph.node.append(helper.make_node("Log", ["negative"], ["beside"]))
    model.graph.output.append(helper.make_tensor_value_info("beside", TensorProto.FLOAT, [1, 1]))
    file = parsed("model.onnx", model.SerializeToString())
    assert verify(families.FAMILIES["yolov8"].build(file, BuildOptions(score_threshold=0.6)), PICTURES)


def test_a_row_at_the_very_threshold_may_lack_a_partner():
    assert JUDGE.compare([rows(FIRST, [*SECOND[:4], 0.305, 1])], [rows(FIRST)]).unmatched == 0


def test_a_row_at_the_end_of_a_full_table_may_lack_a_partner():
    full = rows(FIRST, SECOND, [70, 0, 80, 10, 0.6, 0])
    other = rows(FIRST, SECOND, [0, 40, 10, 50, 0.601, 0])
    assert JUDGE.compare([full], [other]).unmatched == 0
    assert JUDGE.compare([full[:2]], [other]).unmatched == 1


def test_a_moved_box_and_a_changed_score_are_measured():
    moved = rows([0, 0.5, 10, 10, 0.7, 0])
    difference = JUDGE.compare([rows(FIRST)], [moved])
    assert difference.box_px == pytest.approx(0.5)
    assert difference.score == pytest.approx(0.2)
    assert not difference.within(JUDGE.tolerance)


def test_the_threshold_is_lowered_until_there_are_rows_enough_and_the_network_runs_once():
    asked = []
    scores = np.linspace(0.9, 0.004, 90, dtype=np.float32)

    def rows_at(threshold):
        asked.append(threshold)
        table = np.zeros((len(scores), 6), dtype=np.float32)
        table[:, 4] = scores
        return [table[scores > threshold]]

    for sure, expected in ((0.3, 0.3), (0.8, 0.1)):
        threshold, found = enough_rows(rows_at, replace(SPEC, score_threshold=sure))
        assert threshold == expected
        assert len(found[0]) == (scores > threshold).sum() >= 20
    assert asked == [0.003, 0.003]


def test_pictures_are_placed_and_padded_as_the_spec_says():
    white = np.full((50, 100, 3), 255, dtype=np.uint8)
    for letterbox, top in ((Letterbox.TOP_LEFT, 0), (Letterbox.CENTER, 8)):
        canvas = on_canvas(white, replace(SPEC, letterbox=letterbox))
        assert (canvas[top : top + 48] == 255).all()
        assert (np.delete(canvas, np.s_[top : top + 48], axis=0) == 114).all()
    assert (on_canvas(white, replace(SPEC, letterbox=Letterbox.STRETCH)) == 255).all()


def test_frames_have_the_shape_of_the_contract_and_rendered_pictures_never_change():
    assert frames_of(PICTURES, SPEC).shape == (6, 96, 96)
    assert render_pictures().sha256 == PICTURES.sha256


def test_a_folder_without_a_picture_or_with_a_broken_one_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no picture"):
        load_pictures(tmp_path)
    for content in (b"", b"no picture"):
        (tmp_path / "broken.jpg").write_bytes(content)
        with pytest.raises(ModelError, match=r"broken\.jpg"):
            load_pictures(tmp_path)
