"""Families of which no free file is at hand: networks of their structure, fused and compared at every batch index."""

import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters import families
from converters.cli import main
from converters.errors import ModelError
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.parity import Judge
from converters.pictures import render_pictures
from converters.spec import Letterbox, Tolerance
from converters.verify import at_threshold, frames_of, onnx_runner, verify
from tests.support.tiny_heads import (
    halved,
    renamed,
    tiny_nanodet,
    tiny_queries,
    tiny_query_table,
    tiny_retinaface,
    tiny_simcc,
    tiny_ssd,
)
from tests.support.tiny_yolos import ending_with
from tests.support.tiny_yolox import saved

SKETCHES = {
    "detr": lambda: tiny_queries(chosen=False),
    "rtdetr_table": tiny_query_table,
    "rtdetr": lambda: tiny_queries(chosen=True),
    "nanodet": tiny_nanodet,
    "nanodet_tables": lambda: tiny_nanodet(strides=(8, 16, 32), joined=False),
    "tf_detection": tiny_ssd,
    "tf_detection_2": lambda: tiny_ssd(unsuppressed=True),
    "simcc": tiny_simcc,
    "retinaface": tiny_retinaface,
}


def family_of(name):
    return name.removesuffix("_tables").removesuffix("_2").removesuffix("_table")


@pytest.fixture(scope="module", params=SKETCHES)
def sketched(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("sketch") / "model.onnx"
    return request.param, read_onnx(saved(SKETCHES[request.param](), path))


@pytest.fixture(scope="module")
def built(sketched):
    family, _ = families.choose(sketched[1])
    return family.build(sketched[1], BuildOptions())


def test_a_network_is_of_one_family_alone_and_says_why(sketched):
    name, file = sketched
    family, recognition = families.choose(file)
    assert family.name == family_of(name)
    assert recognition.why


def test_the_graph_agrees_with_the_reference_at_every_index_of_every_batch(built):
    frames, threshold = frames_of(render_pictures(), built.spec)[:3], min(0.2, built.spec.score_threshold)
    expected = [rows[:20] for rows in built.reference(frames, threshold)]
    assert sum(map(len, expected)) >= len(frames)
    run = onnx_runner(at_threshold(built.model, threshold).SerializeToString())
    judge = Judge(replace(built.spec, max_detections=20), Tolerance(box_px=0.01, score=1e-3), threshold)
    for batch in range(1, 9):
        for start in range(len(frames)):
            members = [(start + offset) % len(frames) for offset in range(batch)]
            found = [rows[:20] for rows in run(frames[members])]
            difference = judge.compare([expected[member] for member in members], found)
            assert difference.within(judge.tolerance), (members, str(difference))
            assert not difference.unmatched


@pytest.mark.slow
def test_a_file_is_published_with_no_option_but_a_name_and_answers_in_a_real_triton(sketched, tmp_path, capsys):
    name, file = sketched
    path = tmp_path / "model.onnx"
    path.write_bytes(file.data)
    assert main(["onnx", str(path), "--name", name, "--repository", str(tmp_path / "repository"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["outcome"] == "published"
    assert answer["family"] == family_of(name)
    assert answer["triton"]["unmatched"] == 0


def test_boxes_and_scores_are_of_a_sane_size(built):
    frames = frames_of(render_pictures(), built.spec)
    for rows in onnx_runner(at_threshold(built.model, 0.02).SerializeToString())(frames):
        assert np.isfinite(rows).all()
        assert ((rows[:, 4] > 0.02) & (rows[:, 4] <= 1)).all()
        assert ((rows[:, 5] >= 0) & (rows[:, 5] < max(1, len(built.spec.labels)))).all()


def test_outputs_in_half_precision_are_read_like_others(tmp_path):
    file = read_onnx(saved(halved(tiny_nanodet()), tmp_path / "model.onnx"))
    built = families.choose(file)[0].build(file, BuildOptions())
    frames = frames_of(render_pictures(), built.spec)[:2]
    judge = Judge(built.spec, built.tolerance, 0.3)
    found = onnx_runner(at_threshold(built.model, 0.3).SerializeToString())(frames)
    assert judge.compare(built.reference(frames, 0.3), found).within(built.tolerance)
    assert all(map(len, found))


def test_labels_of_a_suppressed_detector_are_the_user_s_whatever_their_number(tmp_path):
    file = read_onnx(saved(tiny_ssd(), tmp_path / "model.onnx"))
    built = families.FAMILIES["tf_detection"].build(file, BuildOptions(labels=("helmet", "vest")))
    assert built.spec.labels == ("helmet", "vest")
    assert families.FAMILIES["tf_detection"].build(file, BuildOptions()).spec.labels[:2] == ("person", "bicycle")


def test_detr_keeps_a_channel_for_nothing_and_its_kin_do_not(tmp_path):
    for name, chosen, classes in (("detr", False, 6), ("rtdetr", True, 7)):
        file = read_onnx(saved(tiny_queries(chosen=chosen), tmp_path / f"{name}.onnx"))
        assert len(families.FAMILIES[name].build(file, BuildOptions()).spec.labels) == classes


def test_as_many_learnt_queries_as_networks_have_that_keep_no_channel_for_nothing_have_to_be_described(tmp_path):
    file = read_onnx(saved(tiny_queries(chosen=False, channels=5, large=True), tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match=r"not detr: it learns .* as Conditional DETR .*no_object = true"):
        families.choose(file)
    description = tmp_path / "queries.toml"
    description.write_text('[head]\nkind = "queries"\nlogits = "logits"\nboxes = "pred_boxes"\n')
    built = families.choose(file, "custom", description)[0].build(file, BuildOptions())
    assert len(built.spec.labels) == 5


def test_queries_of_ninety_classes_and_nothing_are_detr_s(tmp_path):
    file = read_onnx(saved(tiny_queries(chosen=False, channels=91), tmp_path / "model.onnx"))
    family, _ = families.choose(file)
    assert (family.name, len(family.build(file, BuildOptions()).spec.labels)) == ("detr", 90)


def test_queries_of_coco_s_classes_and_nothing_are_detr_s(tmp_path):
    file = read_onnx(saved(tiny_queries(chosen=False, channels=92), tmp_path / "model.onnx"))
    assert families.choose(file)[0].build(file, BuildOptions()).spec.labels[1] == "person"


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("names", [("logits", "pred_boxes"), ("out_0", "out_1")])
def test_logits_of_four_numbers_are_told_from_boxes_by_their_sigmoid(chosen, names, tmp_path):
    model = renamed(tiny_queries(chosen=chosen, channels=4), dict(zip(("logits", "pred_boxes"), names, strict=True)))
    file = read_onnx(saved(model, tmp_path / "model.onnx"))
    family, _ = families.choose(file)
    head = family.plan(file).head
    assert (family.name, head.logits, head.boxes) == ("rtdetr" if chosen else "detr", *names)
    assert head.classes == (4 if chosen else 3)
    verify(family.build(file, BuildOptions()), render_pictures())


@pytest.mark.parametrize(("chosen", "end"), [(True, "Sigmoid"), (False, "Softmax")])
def test_scores_in_place_of_logits_go_through_no_second_function(chosen, end, tmp_path):
    model = ending_with(tiny_queries(chosen=chosen), "logits", end)
    with pytest.raises(ModelError, match=f"detr: logits went through a {end} already"):
        families.choose(read_onnx(saved(model, tmp_path / "model.onnx")))


def test_logits_of_four_numbers_that_nothing_tells_from_boxes_have_to_be_described(tmp_path):
    model = renamed(tiny_queries(chosen=True, channels=4), {"logits": "a", "pred_boxes": "b"})
    for name in "ab":
        model = ending_with(model, name, "Relu")
    file = read_onnx(saved(model, tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match=r'not rtdetr: its logits have four numbers .*kind = "queries"'):
        families.choose(file)


def test_queries_in_one_table_answer_as_those_in_two(tmp_path):
    found = []
    for name, model in (("two", tiny_queries(chosen=True)), ("one", tiny_query_table())):
        file = read_onnx(saved(model, tmp_path / f"{name}.onnx"))
        built = families.choose(file)[0].build(file, BuildOptions())
        assert (built.spec.letterbox, built.spec.nms_iou, len(built.spec.labels)) == (Letterbox.STRETCH, 1, 7)
        run = onnx_runner(at_threshold(built.model, 0.3).SerializeToString())
        found.append(run(frames_of(render_pictures(), built.spec)[:3]))
    for rows, others in zip(*found, strict=True):
        assert len(rows) > 5
        np.testing.assert_allclose(rows, others, atol=1e-3)


@pytest.mark.parametrize(("task", "names"), [("segment", 7), ("detect", 6)])
def test_a_table_of_queries_that_its_metadata_says_otherwise_of_is_refused(task, names, tmp_path):
    model = tiny_query_table()
    labels = str([f"part {index}" for index in range(names)])
    helper.set_model_props(model, {"task": task, "stride": "32", "names": labels})
    with pytest.raises(ModelError, match=r"not rtdetr: its metadata (says that its task is segment|names 6)"):
        families.choose(read_onnx(saved(model, tmp_path / "model.onnx")))


def test_a_network_that_asks_for_the_size_of_a_picture_is_told_to_leave_that_out(tmp_path):
    model = tiny_queries(chosen=True)
    sizes = helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2])
    model.graph.input.append(sizes)
    model.graph.node.append(helper.make_node("Identity", ["orig_target_sizes"], ["sizes"]))
    with pytest.raises(ModelError, match=r"not rtdetr: it has 2 inputs \(images, orig_target_sizes\).* without it"):
        families.choose(read_onnx(saved(model, tmp_path / "model.onnx")))


def test_queries_over_patches_of_a_picture_have_to_be_described(tmp_path):
    file = read_onnx(saved(tiny_queries(chosen=True, patches=True), tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match=r"not rtdetr: its picture is cut into patches of 16 px.*--family custom"):
        families.choose(file)
    description = tmp_path / "queries.toml"
    description.write_text('[head]\nkind = "queries"\nlogits = "logits"\nboxes = "pred_boxes"\n')
    assert families.choose(file, "custom", description)[0].build(file, BuildOptions()).spec.labels


def test_queries_that_are_sampled_and_not_chosen_have_to_be_described(tmp_path):
    model = tiny_queries(chosen=False)
    model.opset_import[0].version = 16
    points = numpy_helper.from_array(np.zeros((1, 1, 1, 2), np.float32), "points")
    model.graph.initializer.append(points)
    picture = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 96])
    model.graph.input[0].CopyFrom(picture)
    model.graph.node.append(helper.make_node("GridSample", ["images", "points"], ["sampled"]))
    with pytest.raises(ModelError, match="not rtdetr: its graph samples and chooses no queries"):
        families.choose(read_onnx(saved(model, tmp_path / "model.onnx")))


def test_a_network_of_another_family_is_refused_with_its_reason(tmp_path):
    file = read_onnx(saved(tiny_simcc(), tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match="not nanodet: it has 2 outputs"):
        families.choose(file, "nanodet")
