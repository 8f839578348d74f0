"""The YOLO line: each layout told by its structure, fused, and as its original is, at every index of a batch."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from converters import families
from converters.errors import ModelError
from converters.families import BuildOptions
from converters.families.family import PictureInput
from converters.families.picture_size import at_size
from converters.families.ultralytics import metadata_from
from converters.families.yolo_graph import STRIDE_SETS, rows_per_cell
from converters.onnx_file import parsed
from converters.pictures import render_pictures
from converters.preprocess import Element, Layout
from converters.spec import Letterbox, Task
from converters.verify import at_threshold, frames_of, onnx_runner, verify
from tests.support.tiny_yolos import TinyYolo, channels_last, in_fractions

PICTURES = render_pictures()
LAYOUTS = {
    "yolov5": lambda sketch: sketch.anchored_rows(),
    "yolov8": lambda sketch: sketch.columns(),
    "yolov8_pose": lambda sketch: sketch.columns(),
    "yolov10": lambda sketch: sketch.end_to_end(),
}


def sketch_of(family, **changes):
    pose = {"classes": 1, "keypoints": 17} if family == "yolov8_pose" else {}
    return TinyYolo(**pose | changes)


def read(model):
    onnx.checker.check_model(model, full_check=True)
    return parsed("model.onnx", model.SerializeToString())


def fused(family, **changes):
    file = read(LAYOUTS[family](sketch_of(family, **changes)))
    chosen, _ = families.choose(file)
    assert chosen.name == family
    return chosen.build(file, BuildOptions(score_threshold=0.6, max_detections=20))


@pytest.mark.parametrize("family", LAYOUTS)
def test_a_layout_is_told_from_all_others_and_agrees_with_its_original(family):
    parity = verify(fused(family), PICTURES)
    assert parity.same_pixels.rows > 50
    assert parity.same_pixels.unmatched == 0
    assert parity.same_pixels.box_px < 1e-3
    assert parity.same_pixels.score < 1e-4


@pytest.mark.parametrize("family", LAYOUTS)
def test_every_index_of_every_batch_up_to_eight_gets_its_own_rows(family):
    built = fused(family)
    frames = frames_of(PICTURES, built.spec)
    run = onnx_runner(built.model.SerializeToString())
    expected = built.reference(frames, built.spec.score_threshold)
    for batch in range(1, 9):
        members = (np.arange(batch) + batch) % len(frames)
        for member, rows in zip(members, run(frames[members]), strict=True):
            np.testing.assert_allclose(rows, expected[member], atol=1e-3)


@pytest.mark.parametrize(
    ("strides", "size"),
    [
        ((4, 8, 16, 32), (96, 64)),
        ((16, 32), (96, 64)),
        ((8, 16), (96, 64)),
        ((8, 16, 32, 64), (192, 128)),
        ((8, 16, 32, 64, 128), (256, 128)),
    ],
)
@pytest.mark.parametrize("family", ["yolov5", "yolov8"])
def test_networks_of_other_strides_are_of_the_line_too(family, strides, size):
    file = read(LAYOUTS[family](TinyYolo(strides=strides, size=size)))
    chosen, recognition = families.choose(file)
    assert chosen.name == family
    if family == "yolov5":
        assert "are 3 for each cell" in recognition.why
    built = chosen.build(file, BuildOptions(score_threshold=0.6, max_detections=20))
    assert verify(built, PICTURES).same_pixels.rows > 50


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(STRIDE_SETS), st.sampled_from((1, 3)))
def test_no_set_of_strides_is_taken_for_another_with_more_rows_a_cell(down, across, strides, count):
    picture = PictureInput("images", 32 * down, 32 * across, 3, Layout.NCHW, Element.FLOAT)
    cells = sum((picture.height // stride) * (picture.width // stride) for stride in strides)
    assert rows_per_cell(picture, count * cells, (1, 3)) == count


def test_rows_of_strides_that_no_yolo_has_are_refused_with_those_that_are_known():
    file = read(TinyYolo(strides=(4, 32)).columns())
    with pytest.raises(ModelError, match=r"not yolov8: .*each cell of 64 x 96 at strides 8 to 32 or 8 to 64"):
        families.choose(file)


def test_the_line_takes_rgb_in_the_middle_of_grey():
    spec = fused("yolov8").spec
    assert (spec.letterbox, spec.pad_luma, spec.height, spec.width) == (Letterbox.CENTER, 114, 96, 64)


def test_a_pose_carries_its_keypoints_and_people():
    built = fused("yolov8_pose")
    assert (built.spec.task, built.spec.labels, len(built.spec.keypoints)) == (Task.POSE, ("person",), 17)
    (rows,) = built.reference(frames_of(PICTURES, built.spec)[:1], 0.6)
    assert rows.shape[1] == 57
    assert ((rows[:, 8::3] >= 0) & (rows[:, 8::3] <= 1)).all()


def test_finished_rows_in_fractions_of_the_picture_are_seen_and_published_in_pixels():
    options = BuildOptions(score_threshold=0.6, max_detections=20)
    built = []
    for fractions in (False, True):
        file = read(TinyYolo().end_to_end(fractions=fractions))
        chosen, _ = families.choose(file)
        assert chosen.name == "yolov10"
        built.append(chosen.build(file, options))
        assert verify(built[-1], PICTURES).same_pixels.rows > 50
        assert ("between 0 and 1" in built[-1].source.why) is fractions
    pixels, fractions = (onnx_runner(one.model.SerializeToString())(frames_of(PICTURES, one.spec)) for one in built)
    for wanted, found in zip(pixels, fractions, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize("last", [False, True], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolov8_pose"])
def test_a_table_in_fractions_of_the_picture_is_seen_and_published_in_pixels(family, last):
    options = BuildOptions(score_threshold=0.6, max_detections=20)
    built = []
    for fractions in (False, True):
        sketch = sketch_of(family)
        sketch.metadata = {"task": "pose", "kpt_shape": "[17, 3]"} if sketch.keypoints else {}
        model = LAYOUTS[family](sketch)
        model = in_fractions(model, keypoints=sketch.keypoints) if fractions else model
        file = read(channels_last(model) if last else model)
        chosen, _ = families.choose(file)
        assert chosen.name == family
        built.append(chosen.build(file, options))
        assert verify(built[-1], PICTURES).same_pixels.rows > 50
        assert ("between 0 and 1" in built[-1].source.why) is fractions
    pixels, fractions = (onnx_runner(one.model.SerializeToString())(frames_of(PICTURES, one.spec)) for one in built)
    assert np.concatenate(pixels)[:, :4].max() > 50
    for wanted, found in zip(pixels, fractions, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_queries_of_two_classes_in_one_table_are_not_taken_for_finished_rows():
    verdicts = families.recognise(read(sketch_of("rtdetr", classes=2).query_rows()))
    assert not [name for name, verdict in verdicts.items() if verdict.fits]
    assert "as RT-DETR gives" in verdicts["yolov10"].why


def test_an_end_to_end_head_keeps_boxes_that_overlap():
    built = fused("yolov10")
    assert built.spec.nms_iou == 1
    assert "NonMaxSuppression" not in {node.op_type for node in built.model.graph.node}
    run = onnx_runner(at_threshold(built.model, 0.1).SerializeToString())
    assert len(run(frames_of(PICTURES, built.spec)[:1])[0]) == 20


def test_one_row_a_cell_without_metadata_fits_two_families_and_asks():
    file = read(TinyYolo().anchored_rows(anchors=1))
    with pytest.raises(ModelError, match=r"fits several families: yolov5, yolox_decoded; choose one with --family"):
        families.choose(file)
    specs = [families.FAMILIES[name].build(file, BuildOptions()).spec for name in ("yolov5", "yolox_decoded")]
    assert [spec.letterbox for spec in specs] == [Letterbox.CENTER, Letterbox.TOP_LEFT]
    verify(families.FAMILIES["yolox_decoded"].build(file, BuildOptions(score_threshold=0.6)), PICTURES)


def test_metadata_names_classes_and_decides_between_families():
    sketch = TinyYolo()
    sketch.metadata = {"names": "{0: 'helmet', 1: 'vest', 2: 'person'}", "stride": "32", "task": "detect"}
    file = read(sketch.anchored_rows(anchors=1))
    chosen, _ = families.choose(file)
    assert chosen.build(file, BuildOptions()).spec.labels == ("helmet", "vest", "person")
    assert chosen.build(file, BuildOptions(labels=("a", "b", "c"))).spec.labels == ("a", "b", "c")


@pytest.mark.parametrize("task", ["segment", "obb", "classify"])
def test_a_task_that_metadata_names_and_no_family_decodes_is_refused(task):
    sketch = TinyYolo()
    sketch.metadata = {"names": "['a', 'b', 'c']", "stride": "32", "task": task}
    with pytest.raises(ModelError, match=f"its task is {task}, not detect"):
        families.choose(read(sketch.columns()))


@pytest.mark.parametrize(("family", "layout"), [(name, LAYOUTS[name]) for name in ("yolov5", "yolov8", "yolov10")])
def test_a_network_that_gives_masks_beside_its_boxes_is_of_no_family(family, layout):
    sketch = TinyYolo()
    sketch.metadata = {"names": "['a', 'b', 'c']", "stride": "32"}
    model = layout(sketch)
    model.graph.node.append(helper.make_node("AveragePool", ["images"], ["masks"], kernel_shape=[4, 4], strides=[4, 4]))
    model.graph.output.append(sketch.tensor("masks", [1, 3, 24, 16]))
    with pytest.raises(ModelError, match=f"not {family}: masks come beside its boxes"):
        families.choose(read(model))


@pytest.mark.parametrize("family", ["yolov5", "yolov8", "yolov8_pose"])
def test_columns_that_metadata_names_no_class_for_are_not_taken_for_scores(family):
    sketch = sketch_of(family)
    sketch.metadata = {"names": "['a', 'b']", "stride": "32"}
    with pytest.raises(ModelError, match=f"not {family}: its metadata names 2 classes, where its output would have"):
        families.choose(read(LAYOUTS[family](sketch)))


@pytest.mark.parametrize("family", ["yolov8_pose", "yolov10"])
def test_keypoints_without_a_score_are_not_read_as_fewer_with_one(family):
    sketch = TinyYolo(classes=1, keypoints=8)
    sketch.metadata = {"names": "['person']", "stride": "32", "task": "pose", "kpt_shape": "[12, 2]"}
    with pytest.raises(ModelError, match=f"not {family}: its metadata tells 12 keypoints of 2 values"):
        families.choose(read(LAYOUTS[family](sketch)))


def test_a_pose_whose_metadata_agrees_with_its_columns_is_taken():
    sketch = TinyYolo(classes=1, keypoints=8)
    sketch.metadata = {"names": "['worker']", "stride": "32", "task": "pose", "kpt_shape": "[8, 3]"}
    file = read(sketch.columns())
    chosen, _ = families.choose(file)
    spec = chosen.build(file, BuildOptions()).spec
    assert (chosen.name, spec.labels, len(spec.keypoints)) == ("yolov8_pose", ("worker",), 8)


def test_columns_that_pass_no_sigmoid_are_refused():
    model = TinyYolo().columns()
    for node in model.graph.node:
        node.op_type = "Tanh" if node.op_type == "Sigmoid" else node.op_type
    with pytest.raises(ModelError, match="not yolov8: its columns are computed by Mul, Mul and Tanh"):
        families.choose(read(model))


@pytest.mark.parametrize(
    "names",
    [
        "__import__('os').system('touch /tmp/x')",
        "(" * 5000,
        "-" * 60_000 + "1",
        "{" + ", ".join(f"{index}: 'a'" for index in range(20_000)) + "}",
        "{0: 'a', 'b': 1}",
        "{0: 'a\\nb'}",
        "{0: ['nested']}",
        "",
        "9" * 5000,
    ],
)
def test_names_that_are_no_short_list_of_labels_count_as_absent(names):
    assert metadata_from({"names": names, "stride": "x", "imgsz": "[1, 2, 3]"}).present is False
    assert metadata_from({"names": names}).names is None


def test_metadata_is_read_as_ultralytics_writes_it():
    metadata = metadata_from(
        {
            "names": "{0: 'person', 1: 'bicycle'}",
            "stride": "32",
            "task": "pose",
            "imgsz": "[640, 480]",
            "kpt_shape": "[17, 3]",
        }
    )
    assert metadata.names == {0: "person", 1: "bicycle"}
    assert (metadata.stride, metadata.task, metadata.imgsz, metadata.kpt_shape) == (32, "pose", (640, 480), (17, 3))


def of_any_size(metadata):
    sketch = TinyYolo()
    sketch.picture = sketch.tensor("images", [1, 3, "height", "width"])
    sketch.metadata = metadata
    model = sketch.columns()
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "rows"
    return read(model)


def test_a_network_of_any_size_is_taken_at_the_size_of_its_metadata_or_the_user():
    with pytest.raises(ModelError, match="choose one with --size"):
        families.choose(at_size(of_any_size({}), None))
    for file in (at_size(of_any_size({"imgsz": "[96, 64]"}), None), at_size(of_any_size({}), (96, 64))):
        chosen, _ = families.choose(file)
        built = chosen.build(file, BuildOptions(score_threshold=0.6, max_detections=20))
        assert (chosen.name, built.spec.height, built.spec.width) == ("yolov8", 96, 64)
        assert verify(built, PICTURES).same_pixels.rows > 50


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ([1, "num_channels", "height", "width"], (96, 64)),
        ([1, "channels", 96, 64], None),
        ([1, 3, 96, "width"], (96, 64)),
    ],
)
def test_a_free_colour_axis_as_optimum_exports_it_has_the_colours_of_the_first_convolution(shape, size):
    model = TinyYolo().columns()
    for dim, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dim.Clear()
        if isinstance(length, int):
            dim.dim_value = length
        else:
            dim.dim_param = length
    file = at_size(read(model), size)
    assert file.inputs[0].shape[1:] == (3, 96, 64)
    chosen, _ = families.choose(file)
    assert verify(chosen.build(file, BuildOptions(score_threshold=0.6)), PICTURES).same_pixels.rows > 50


def planes_of(nodes, shape, *weights, element=onnx.TensorProto.FLOAT):
    """A network of one input `x` that ends in `y`."""
    constants = [onnx.numpy_helper.from_array(np.asarray(value), f"w{index}") for index, value in enumerate(weights)]
    ends = [helper.make_tensor_value_info(*tensor) for tensor in (("x", element, shape), ("y", element, ["b", *"cyx"]))]
    graph = helper.make_graph([helper.make_node(*node[:3], **node[3]) for node in nodes], "g", *[[end] for end in ends])
    graph.initializer.extend(constants)
    return read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8))


FREE_PLANES = ["b", "frames", 80, 64]
SQUASHED = ("Conv", ["grey", "w0"], ["y"], {})


@pytest.mark.parametrize("element", [onnx.TensorProto.FLOAT, onnx.TensorProto.INT64])
@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([("ReduceMax", ["x"], ["y"], {"axes": [3]})], []),
        ([("Reshape", ["x", "w1"], ["grey"], {}), SQUASHED], [np.ones((1, 1, 1, 1), np.float32), [-1, 1, 80, 64]]),
        ([("Identity", ["x"], ["grey"], {}), SQUASHED], [np.ones((1, 12, 1, 1), np.float32)]),
    ],
)
def test_planes_that_are_no_colours_are_left_free(nodes, weights, element):
    if element == onnx.TensorProto.INT64:
        nodes = [("ReduceMax", ["x"], ["y"], {"axes": [3]})]
    file = planes_of(nodes, FREE_PLANES, *weights, element=element)
    assert at_size(file, None) is file


@pytest.mark.parametrize("shape", [["b", "c", "h", "w"], ["b", "c", 64, 64]])
def test_a_network_that_cuts_its_picture_up_before_the_first_convolution_takes_three_colours(shape):
    cut = ("Slice", ["x", *(f"w{index}" for index in range(1, 5))], ["a"], {})
    nodes = [cut, ("Concat", ["a"] * 4, ["grey"], {"axis": 1}), SQUASHED]
    weights = [np.ones((4, 12, 1, 1), np.float32), [0, 0], [9999, 9999], [2, 3], [2, 2]]
    file = at_size(planes_of(nodes, shape, *weights), (64, 64))
    assert (file.inputs[0].shape, file.outputs[0].shape) == (("b", 3, 64, 64), ("b", 4, 32, 32))


def test_a_convolution_of_each_colour_by_itself_reads_three():
    weights = [np.ones((6, 1, 1, 1), np.float32)]
    file = planes_of([("Conv", ["x", "w0"], ["y"], {"group": 3})], FREE_PLANES, *weights)
    assert at_size(file, None).inputs[0].shape == ("b", 3, 80, 64)


def test_a_size_that_a_network_can_not_take_is_refused():
    with pytest.raises(ModelError, match=r"can't be run on images FLOAT \[1, 3, 160, 64\]"):
        at_size(of_any_size({}), (160, 64))
    with pytest.raises(ModelError, match="takes one size only"):
        at_size(read(TinyYolo().columns()), (128, 128))


def test_a_network_of_half_precision_is_fed_and_read_as_such():
    model = TinyYolo().columns()
    half = onnx.TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), tensor.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = half
    file = read(model)
    chosen, _ = families.choose(file)
    built = chosen.build(file, BuildOptions(score_threshold=0.6, max_detections=20))
    assert verify(built, PICTURES).same_pixels.rows > 50
