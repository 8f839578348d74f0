"""A detector with quarter turns: what it asks for, and that it agrees with its original asked three times."""

from dataclasses import replace

import numpy as np
import pytest

from converters import families
from converters.errors import UsageError
from converters.families import BuildOptions
from converters.onnx_file import read_onnx
from converters.pictures import render_pictures
from converters.quarter_turns import LYING, with_quarter_turns
from converters.quarter_turns_reference import ThreeViews
from converters.spec import Task
from converters.verify import verify
from tests.support.tiny_yolox import saved, tiny_yolox

LABELS = ("dog", "person", "cat")


def built(folder, *, height=64, width=64, labels=LABELS, **options):
    model = tiny_yolox(height=height, width=width, classes=len(labels), **options)
    return families.FAMILIES["yolox"].build(read_onnx(saved(model, folder / "tiny.onnx")), BuildOptions(labels=labels))


@pytest.mark.parametrize(("opset", "batch"), [(11, 1), (18, "n")])
def test_it_agrees_with_the_original_asked_three_times_at_every_index(tmp_path, opset, batch):
    turned = with_quarter_turns(built(tmp_path, opset=opset, batch=batch))
    parity = verify(turned, render_pictures())
    assert turned.spec.labels == (*LABELS, LYING)
    assert parity.same_pixels.rows > 50
    assert parity.same_pixels.unmatched == 0
    assert parity.from_rgb is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 96}, "square canvas, this one is 96 x 64"),
        ({"labels": ("dog", "cat")}, "label 'person'"),
        ({"labels": ("person", LYING)}, "label 'person'"),
    ],
)
def test_a_detector_that_can_not_be_turned_is_refused(tmp_path, options, said):
    with pytest.raises(UsageError, match=said):
        with_quarter_turns(built(tmp_path, **options))


def test_a_classifier_and_a_table_too_long_to_compare_are_refused(tmp_path):
    sound = built(tmp_path)
    with pytest.raises(UsageError, match="a classifier has none"):
        with_quarter_turns(replace(sound, spec=replace(sound.spec, task=Task.CLASSIFY)))
    with pytest.raises(UsageError, match="at most 1000"):
        with_quarter_turns(replace(sound, spec=replace(sound.spec, max_detections=1001)))


@pytest.fixture
def views(tmp_path):
    spec = with_quarter_turns(built(tmp_path)).spec
    return ThreeViews(spec, person=1, turned_weight=0.75, same_person=0.5)


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 6)


UPRIGHT = [10, 20, 20, 50, 0.7, 1]


@pytest.mark.parametrize(("score", "label"), [(0.9, 1), (0.95, 3)])
def test_the_better_view_wins_and_a_turned_one_counts_three_quarters(views, score, label):
    lying_left = [20, 44, 50, 54, score, 1]
    (row,) = views.merged(rows(UPRIGHT), rows(lying_left), rows(), 0.3)
    assert row[5] == label
    np.testing.assert_array_equal(row[:4], UPRIGHT[:4])


def test_people_at_different_places_are_all_kept_and_a_turned_dog_is_not(views):
    found = views.merged(rows(UPRIGHT), rows([0, 0, 8, 4, 0.5, 1]), rows([50, 50, 60, 60, 0.9, 0]), 0.3)
    assert found[:, 5].tolist() == [1, 3]
    np.testing.assert_array_equal(found[1, :4], [60, 0, 64, 8])


def test_a_turned_person_needs_a_third_more_than_the_threshold(views):
    assert len(views.merged(rows(), rows([0, 0, 8, 4, 0.39, 1]), rows(), 0.3)) == 0
    assert len(views.merged(rows(), rows([0, 0, 8, 4, 0.41, 1]), rows(), 0.3)) == 1


def test_one_person_seen_from_both_sides_is_one_row(views):
    (row,) = views.merged(rows(), rows([0, 0, 8, 4, 0.6, 1]), rows([56, 60, 64, 64, 0.8, 1]), 0.3)
    assert row[4] == np.float32(0.8)
