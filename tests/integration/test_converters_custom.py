"""Networks that a description tells of: read strictly, fused like the family whose head they have."""

import json

import numpy as np
import pytest

from converters.cli import main
from converters.errors import ModelError, UsageError
from converters.families import BuildOptions, choose
from converters.onnx_file import read_onnx
from converters.pictures import render_pictures
from converters.verify import at_threshold, frames_of, onnx_runner, verify
from tests.support.tiny_heads import (
    INT8,
    UINT8,
    of_integers,
    tiny_classifier,
    tiny_mmdeploy,
    tiny_nanodet,
    tiny_queries,
    tiny_retinaface,
    tiny_simcc,
    tiny_ssd,
)
from tests.support.tiny_yolos import TinyYolo, in_fractions
from tests.support.tiny_yolox import saved

IMAGENET = """
scale = 255
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""
IMAGENET_BGR = """
colour = "bgr"
scale = 255
mean = [0.406, 0.456, 0.485]
std = [0.225, 0.224, 0.229]
"""
SAME_AS_A_FAMILY = {
    "detr": (
        lambda: tiny_queries(chosen=False),
        f'[input]{IMAGENET}[head]\nkind = "queries"\nlogits = "logits"\nboxes = "pred_boxes"\nno_object = true',
    ),
    "nanodet": (
        tiny_nanodet,
        (
            f'nms_iou = 0.6\n[input]{IMAGENET_BGR}[head]\nkind = "distribution"\nscores = ["output"]\n'
            'bins = ["output"]\n'
            'strides = [8, 16, 32, 64]\nanchor = "corner"'
        ),
    ),
    "tf_detection": (
        tiny_ssd,
        (
            'labels = ["a", "b", "c", "d", "e"]\n[input]\nscale = 1\n[head]\nkind = "suppressed"\n'
            'boxes = "detection_boxes"\n'
            'scores = "detection_scores"\nclasses = "detection_classes"\nnumber = "num_detections"\nfirst_class = 1'
        ),
    ),
    "simcc": (
        tiny_simcc,
        f'[input]{IMAGENET}letterbox = "center"\npad = 0\n[head]\nkind = "simcc"\nx = "simcc_x"\ny = "simcc_y"',
    ),
    "retinaface": (
        tiny_retinaface,
        (
            'nms_iou = 0.4\n[input]\ncolour = "bgr"\nscale = 1\nmean = [104, 117, 123]\nletterbox = "center"\n'
            '[head]\nkind = "priors"\nboxes = "bbox"\nscores = "confidence"\nlandmarks = "landmark"'
        ),
    ),
    "fastestdet": ("fastestdet_coco_352", '[input]\ncolour = "bgr"\n[head]\nkind = "grid"\noutput = "758"'),
    "posenet": (
        "posenet_mbv1_257_s16_fp32",
        (
            '[input]\nscale = 127.5\nmean = [1]\n[head]\nkind = "heatmap"\nheatmap = "heatmap"\noffsets = "offset_2"\n'
            "stride = 16\nchannels_last = true"
        ),
    ),
    "classifier": ("vww_person_96_float", '[head]\nkind = "scores"\noutput = "Identity"'),
}


def described(folder, text):
    path = folder / "description.toml"
    path.write_text(text)
    return path


def rows_of(built, frames):
    return onnx_runner(at_threshold(built.model, 0.05).SerializeToString())(frames)


@pytest.mark.parametrize("family", SAME_AS_A_FAMILY)
def test_a_described_network_answers_as_the_family_that_recognises_it(family, tmp_path, request):
    sketch, text = SAME_AS_A_FAMILY[family]
    if isinstance(sketch, str):
        path = request.getfixturevalue("data_dir") / f"models/{sketch}.onnx"
    else:
        path = saved(sketch(), tmp_path / "model.onnx")
    file = read_onnx(path)
    known = choose(file)[0].build(file, BuildOptions())
    custom = choose(file, "custom", described(tmp_path, text))[0].build(file, BuildOptions())
    frames = frames_of(render_pictures(), known.spec)[:3]
    for ours, theirs in zip(rows_of(custom, frames), rows_of(known, frames), strict=True):
        assert ours.shape == theirs.shape
        assert np.allclose(ours, theirs, atol=0.05)
    assert custom.spec.task is known.spec.task
    assert "kind" in dict(custom.source.details)["description"]


def test_rows_of_a_yolo_are_described_by_their_layout(data_dir, tmp_path):
    text = 'nms_iou = 0.45\n[input]\nletterbox = "center"\n[head]\nkind = "rows"\noutput = "output0"\nobjectness = true'
    file = read_onnx(data_dir / "models/yolox_nano_v5layout_416.onnx")
    custom = choose(file, "custom", described(tmp_path, text))[0].build(file, BuildOptions())
    known = choose(file)[0].build(file, BuildOptions())
    frames = frames_of(render_pictures(), known.spec)[:2]
    for ours, theirs in zip(rows_of(custom, frames), rows_of(known, frames), strict=True):
        assert np.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("fractions", [False, True])
def test_described_rows_may_be_in_fractions_of_the_picture(tmp_path, fractions):
    model = TinyYolo().columns()
    known = choose(read_onnx(saved(model, tmp_path / "pixels.onnx")))[0]
    expected = known.build(read_onnx(tmp_path / "pixels.onnx"), BuildOptions())
    file = read_onnx(saved(in_fractions(model) if fractions else model, tmp_path / "model.onnx"))
    text = (
        'nms_iou = 0.7\n[input]\nletterbox = "center"\n[head]\nkind = "rows"\noutput = "output0"\ncolumns_first = true'
    )
    custom = choose(file, "custom", described(tmp_path, text))[0].build(file, BuildOptions())
    assert ("between 0 and 1" in custom.source.why) is fractions
    frames = frames_of(render_pictures(), custom.spec)[:2]
    for ours, theirs in zip(rows_of(custom, frames), rows_of(expected, frames), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_one_table_of_queries_is_described_as_rows(tmp_path):
    file = read_onnx(saved(TinyYolo(classes=2).query_rows(), tmp_path / "model.onnx"))
    text = 'labels = ["a", "b"]\nnms_iou = 1\n[head]\nkind = "rows"\noutput = "output0"'
    built = choose(file, "custom", described(tmp_path, text))[0].build(file, BuildOptions())
    (rows,) = rows_of(built, frames_of(render_pictures(), built.spec)[:1])
    assert rows[:, 2:4].max() > 20
    verify(built, render_pictures())


MMDEPLOY = (
    'labels = ["a", "b", "c", "d", "e"]\n[input]\nscale = 1\n[head]\nkind = "suppressed"\nboxes = "dets"\n'
    'classes = "labels"\ncorners = "xyxy"\nunit = "pixel"\n'
)


def test_boxes_with_their_score_behind_are_read_as_those_of_three_tables_and_a_count(tmp_path):
    known = choose(ssd := read_onnx(saved(tiny_ssd(), tmp_path / "ssd.onnx")))[0].build(ssd, BuildOptions())
    file = read_onnx(saved(tiny_mmdeploy(), tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match=r'as MMDeploy.*kind = "suppressed", corners = "xyxy", unit = "pixel"'):
        choose(file)
    custom = choose(file, "custom", described(tmp_path, MMDEPLOY))[0].build(file, BuildOptions())
    frames = frames_of(render_pictures(), known.spec)
    found, expected = rows_of(custom, frames), rows_of(known, frames)
    assert sum(map(len, expected)) > 10
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    verify(custom, render_pictures())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (('boxes = "dets"', 'boxes = "labels"'), "has not 3 axes"),
        (('classes = "labels"', 'classes = "labels"\nscores = "labels"'), r"dets is not \[N, rows, 4\]$"),
        (('classes = "labels"', 'classes = "labels"\nnumber = "dets"'), "has not 1 axes"),
        (('corners = "xyxy"', 'corners = "xywh"'), "Invalid enum value 'xywh'"),
    ],
)
def test_suppressed_boxes_that_are_not_as_described_are_refused(changed, reason, tmp_path):
    file = read_onnx(saved(tiny_mmdeploy(), tmp_path / "model.onnx"))
    with pytest.raises(ModelError, match=reason):
        choose(file, "custom", described(tmp_path, MMDEPLOY.replace(*changed)))


def test_boxes_alone_are_not_taken_for_boxes_with_a_score(tmp_path):
    file = read_onnx(saved(tiny_ssd(), tmp_path / "model.onnx"))
    text = MMDEPLOY.replace("dets", "detection_boxes").replace('"labels"', '"detection_classes"')
    with pytest.raises(ModelError, match=r"not \[N, rows, 5\], a box and its score, as no scores are named"):
        choose(file, "custom", described(tmp_path, text))


def test_a_described_network_is_published_and_answers_in_a_real_triton(tmp_path, capsys):
    model = saved(tiny_queries(chosen=True), tmp_path / "model.onnx")
    labels = ", ".join(f'"part_{index}"' for index in range(7))
    text = f'labels = [{labels}]\n[head]\nkind = "queries"\nlogits = "logits"\nboxes = "pred_boxes"'
    arguments = ["onnx", str(model), "--name", "parts", "--repository", str(tmp_path / "repository"), "--json"]
    description = described(tmp_path, text)
    assert main([*arguments, "--family", "custom", "--description", str(description)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["family"] == "custom"
    assert answer["triton"]["unmatched"] == 0
    manifest = json.loads((tmp_path / "repository/parts/1/manifest.json").read_text())
    assert "part_6" in json.dumps(manifest["source"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[head", "is not TOML"),
        ("labels = []", "missing required field `head`"),
        ('[head]\nkind = "magic"', "Invalid value 'magic'"),
        ('[head]\nkind = "scores"', "missing required field `output`"),
        ('[head]\nkind = "scores"\noutput = "Identity"\ntemperature = 2', "unknown field `temperature`"),
        ('[input]\nstd = [0]\n[head]\nkind = "scores"\noutput = "Identity"', "> 0.0"),
        ('[head]\nkind = "scores"\noutput = "scores"', "no output 'scores'; there are: Identity"),
        ('[head]\nkind = "grid"\noutput = "Identity"', "has not 4 axes"),
        ('labels = ["a"]\n[head]\nkind = "scores"\noutput = "Identity"', "names 1 classes, the outputs have 2"),
        ('[input]\ncolour = "grey"\n[head]\nkind = "scores"\noutput = "Identity"', "has 3 planes"),
        ('[input]\nmean = [1, 2]\n[head]\nkind = "scores"\noutput = "Identity"', "mean and std"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_with_its_reason(data_dir, tmp_path, text, reason):
    file = read_onnx(data_dir / "models/vww_person_96_float.onnx")
    with pytest.raises(ModelError, match=reason):
        choose(file, "custom", described(tmp_path, text))


@pytest.mark.parametrize(
    ("element", "said", "reason"),
    [
        (UINT8, "", r"its input is UINT8, 0 to 255, where the description makes 0 to 1 .*say scale = 1$"),
        (INT8, "", r"its input is INT8, -128 to 127, .*say scale = 1 and mean = \[128\]$"),
        (INT8, "scale = 1", "makes 0 to 255"),
        (UINT8, "scale = 1\nmean = [128]", "makes -128 to 127"),
        (UINT8, "scale = 1", None),
        (UINT8, "scale = 1\nmean = [0, 0, 0]\nstd = [1, 1, 2]", None),
        (INT8, "scale = 1\nmean = [128]", None),
    ],
)
def test_a_description_that_leaves_an_integer_input_hardly_a_level_is_refused(tmp_path, element, said, reason):
    file = read_onnx(saved(of_integers(tiny_classifier(), element), tmp_path / "model.onnx"))
    description = described(tmp_path, f'[input]\n{said}\n[head]\nkind = "scores"\noutput = "output0"')
    if reason is None:
        assert choose(file, "custom", description)[0].name == "custom"
        return
    with pytest.raises(ModelError, match=reason):
        choose(file, "custom", description)


def test_a_description_and_its_family_go_together(data_dir, tmp_path):
    file = read_onnx(data_dir / "models/vww_person_96_float.onnx")
    description = described(tmp_path, '[head]\nkind = "scores"\noutput = "Identity"')
    with pytest.raises(UsageError, match="go together"):
        choose(file, "custom")
    with pytest.raises(UsageError, match="go together"):
        choose(file, "auto", description)
    with pytest.raises(ModelError, match="can't be read: No such file"):
        choose(file, "custom", tmp_path / "absent.toml")
