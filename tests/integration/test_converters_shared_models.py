"""The shared models, published with no option but a name, beside what a second hand reads from the original files."""

import re

import cv2
import numpy as np
import pytest

from converters.cli import main
from converters.triton_server import trial_server
from tests.support.plain_decoders import FASTESTDET, POSENET, V5_LAYOUT, WAKE_WORDS, YOLOX, overlap

DETECTORS = {"yolox": YOLOX, "v5_layout": V5_LAYOUT, "fastestdet": FASTESTDET}
MODELS = {**DETECTORS, "posenet": POSENET, "wake_words": WAKE_WORDS}
BATCH_SIZES = range(1, 9)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def repository(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for name, model in MODELS.items():
        file = data_dir / f"models/{model.file}.onnx"
        assert main(["onnx", str(file), "--name", name, "--repository", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def server(repository):
    with trial_server(repository, list(MODELS)) as running:
        yield running


@pytest.fixture(scope="module")
def photographs(data_dir):
    paths = sorted((data_dir / "images").glob("*.jpg"))
    return [cv2.imread(str(path)) for path in paths]


def at_every_index(server, name, frames, outputs):
    """Yield the frame's number and its outputs, for each batch size and each of its places."""
    for batch in BATCH_SIZES:
        for first in range(len(frames)):
            members = [(first + place) % len(frames) for place in range(batch)]
            answers = server.infer(name, {"frames": frames[members]}, outputs)
            yield from ((member, [answer[place] for answer in answers]) for place, member in enumerate(members))


def threshold_of(repository, name):
    config = (repository / name / "config.pbtxt").read_text()
    return float(re.search(r'"ruth.score_threshold"\s*value\s*{\s*string_value: "([\d.]+)"', config)[1])


def matched(expected, found):
    """Pair rows of one class one to one, from an overlap of 0.9 on, best first; return how many pairs there are."""
    free, pairs = list(found), 0
    for row in expected:
        near = [other for other in free if other[5] == row[5] and overlap(row, other) >= 0.9]
        if near:
            best = max(near, key=lambda other: overlap(row, other))
            free = [other for other in free if other is not best]
            pairs += 1
    return pairs


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_finds_what_the_second_hand_finds(server, repository, data_dir, photographs, name):
    model = DETECTORS[name]
    frames = np.stack([model.frame(picture) for picture in photographs])
    expected = model.answers(data_dir / "models", frames, threshold_of(repository, name))
    pairs = either = 0
    for member, (rows, count) in at_every_index(server, name, frames, ["detections", "num_detections"]):
        found = rows[: int(count[0])]
        pairs += matched(expected[member], found)
        either += len(expected[member]) + len(found)
    f1 = 2 * pairs / either
    print(f"F1 {f1:.4f} of {pairs} pairs")
    assert pairs > 8 * sum(BATCH_SIZES)
    assert f1 >= 0.99


def test_a_pose_has_the_keypoints_that_the_second_hand_reads(server, data_dir, photographs):
    frames = np.stack([POSENET.frame(picture) for picture in photographs])
    expected = POSENET.answers(data_dir / "models", frames, 0)
    people, furthest = 0, np.zeros(3)
    for member, (rows, count) in at_every_index(server, "posenet", frames, ["detections", "num_detections"]):
        mean = expected[member][:, 2].mean()
        assert int(count[0]) == (mean > 0.3) or abs(mean - 0.3) < 0.002
        if count[0]:
            people += 1
            keypoints = rows[0, 6:].reshape(17, 3)
            furthest = np.maximum(furthest, np.abs(keypoints - expected[member]).max(axis=0))
            assert rows[0, 4] == pytest.approx(mean, abs=0.002)
    print(f"furthest: x, y, score {furthest.round(5).tolist()} of {people} poses")
    assert people >= 5 * sum(BATCH_SIZES)
    assert (furthest <= [0.25, 0.25, 0.002]).all()


def test_a_classifier_says_what_the_second_hand_reads(server, data_dir, photographs):
    frames = np.stack([WAKE_WORDS.frame(picture) for picture in photographs])
    expected = WAKE_WORDS.answers(data_dir / "models", frames, 0)
    assert {scores.argmax() for scores in expected} == {0, 1}
    furthest = 0.0
    for member, (scores,) in at_every_index(server, "wake_words", frames, ["scores"]):
        furthest = max(furthest, np.abs(scores - expected[member]).max())
    print(f"furthest: {furthest:.6f}")
    assert furthest <= 0.002
