"""Classifiers: what their metadata and their last operator tell of colours, labels and scores."""

import numpy as np
import pytest
from onnx import helper

from converters import families
from converters.families import BuildOptions
from converters.families.classifier import IMAGENET_DEVIATION, IMAGENET_MEAN
from converters.onnx_file import parsed
from converters.pictures import render_pictures
from converters.verify import frames_of, onnx_runner, verify
from tests.support.tiny_heads import beginning_with, rounded, tiny_classifier

PICTURES = render_pictures()
NAMES = "{0: 'cat', 1: 'dog', 2: 'hen'}"


def read(end=None, **metadata):
    model = tiny_classifier(end)
    helper.set_model_props(model, metadata)
    return parsed("model.onnx", model.SerializeToString())


def scores(end):
    file = read(end)
    chosen, _ = families.choose(file)
    assert chosen.name == "classifier"
    built = chosen.build(file, BuildOptions())
    verify(built, PICTURES)
    return np.array(onnx_runner(built.model.SerializeToString())(frames_of(PICTURES, built.spec)))


@pytest.mark.parametrize(
    ("metadata", "mean", "labels"),
    [
        ({}, IMAGENET_MEAN, ("class_0", "class_1", "class_2")),
        ({"names": NAMES, "stride": "32"}, IMAGENET_MEAN, ("cat", "dog", "hen")),
        ({"names": NAMES, "stride": "1", "task": "classify"}, (0.0,), ("cat", "dog", "hen")),
        ({"names": "['cat']", "task": "classify"}, (0.0,), ("class_0", "class_1", "class_2")),
    ],
)
def test_metadata_tells_colours_and_labels(metadata, mean, labels):
    file = read("Softmax", **metadata)
    plan = families.FAMILIES["classifier"].plan(file)
    assert plan.preprocess.mean == mean
    assert ("0 to 1" in plan.why) is (mean == (0.0,))
    built = families.FAMILIES["classifier"].build(file, BuildOptions())
    assert built.spec.labels == labels
    assert families.FAMILIES["classifier"].build(file, BuildOptions(labels=("a", "b", "c"))).spec.labels[0] == "a"


DEVIATION = np.array([58.395, 57.12, 57.375]).reshape(3, 1, 1)
MEAN = np.array(IMAGENET_MEAN).reshape(3, 1, 1)


@pytest.mark.parametrize(
    ("steps", "gain"),
    [
        ([("Mul", 1 / 255, {})], 1.0),
        ([("Div", 255, {})], 1.0),
        ([("Mul", 1 / 127.5, {}), ("Sub", 1, {})], 1.0),
        ([("Identity", None, {}), ("Cast", None, {"to": 1}), ("Div", 127.5, {})], 1.0),
        ([("Sub", MEAN, {}), ("Div", DEVIATION, {})], 1.0),
        ([("Add", -MEAN, {}), ("Mul", 1 / DEVIATION, {})], 1.0),
        ([("Sub", MEAN / 255, {}), ("Div", DEVIATION / 255, {})], 1 / 255),
        ([("Sub", 0.5, {}), ("Mul", 2, {})], 1 / 255),
        ([("Mul", DEVIATION / 127.5, {}), ("Add", MEAN / 127.5 - 1, {})], None),
        ([("Add", 0.001, {})], None),
        ([("Relu", None, {})], None),
    ],
)
def test_a_network_that_scales_levels_itself_gets_what_it_begins_with(steps, gain):
    file = parsed("model.onnx", beginning_with(tiny_classifier("Softmax"), *steps).SerializeToString())
    family, recognition = families.choose(file)
    given = family.plan(file).preprocess
    assert given.mean == (IMAGENET_MEAN if gain is None else (0.0,))
    assert given.gain == (tuple(1 / side for side in IMAGENET_DEVIATION) if gain is None else (gain,))
    assert (f"beginning with {steps[-2 if len(steps) == 2 else -1][0]} of" in recognition.why) is (gain is not None)
    assert ("colours as" in recognition.why) is (gain is None)
    verify(family.build(file, BuildOptions()), PICTURES)


def test_a_picture_that_two_nodes_take_begins_with_neither():
    model = beginning_with(tiny_classifier("Softmax"), ("Mul", 1 / 255, {}))
    model.graph.node.append(helper.make_node("Shape", ["images"], ["sides"]))
    file = parsed("model.onnx", model.SerializeToString())
    assert families.FAMILIES["classifier"].plan(file).preprocess.mean == IMAGENET_MEAN


@pytest.mark.parametrize("end", ["Softmax", "Sigmoid"])
def test_probabilities_that_quantisation_rounded_go_through_no_further_softmax(end):
    file = parsed("model.onnx", rounded(tiny_classifier(end)).SerializeToString())
    plan = families.FAMILIES["classifier"].plan(file)
    assert f"through a {end}" in plan.why
    built = families.FAMILIES["classifier"].build(file, BuildOptions())
    verify(built, PICTURES)
    given = np.array(onnx_runner(built.model.SerializeToString())(frames_of(PICTURES, built.spec)))
    np.testing.assert_allclose(given, scores(end), atol=0.2)


def test_numbers_that_are_probabilities_already_go_through_no_further_softmax():
    logits, softmax, sigmoid = scores(None), scores("Softmax"), scores("Sigmoid")
    np.testing.assert_allclose(logits.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(logits, softmax, atol=1e-5)
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()
    assert (np.abs(sigmoid.sum(axis=1) - 1) > 0.01).any()
