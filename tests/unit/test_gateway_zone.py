"""Which detections count for a zone."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.definitions import Anchor, ZonePresence
from gateway.domain.detections import Detections
from gateway.rules.episode import Hit
from gateway.rules.kind import SCENE, Nothing
from gateway.rules.observation import Observation
from gateway.rules.tracker import Tracks
from gateway.rules.zones import presence
from tests.support.pictures import people


def in_zone(definition: ZonePresence, detections: Detections, resolution_wh: tuple[int, int]) -> Hit | None:
    observation = Observation(0.0, resolution_wh, detections, Tracks.none(len(detections)))
    return presence(definition, Nothing(), observation)[1].get(SCENE)


LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
SIZE = (640, 480)


def mixed(*objects: tuple[str, float, tuple[float, float, float, float]]) -> Detections:
    """Detections of (label, score, box)."""
    labels = ("person", "car", "dog")
    return Detections(
        xyxy=np.array([box for _, _, box in objects], np.float32).reshape(-1, 4),
        score=np.array([score for _, score, _ in objects], np.float32),
        class_id=np.array([labels.index(label) for label, _, _ in objects], np.int32),
        labels=labels,
        keypoints=np.zeros((len(objects), 0, 3), np.float32),
    )


@pytest.mark.parametrize(
    ("feet_x", "counts"), [(0.0, True), (319.0, True), (320.0, True), (320.5, False), (640.0, False)]
)
def test_feet_on_the_border_are_inside(feet_x: float, counts: bool):
    hit = in_zone(ZonePresence(zone=LEFT_HALF), people((feet_x - 5, 10, feet_x + 5, 100)), SIZE)
    assert (hit is not None) == counts


def test_feet_on_the_lower_edge_of_the_picture_are_in_the_whole_picture():
    assert in_zone(ZonePresence(), people((600, 400, 640, 480)), SIZE) is not None


def test_the_anchor_decides_which_point_of_the_box_counts():
    upper_half = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))
    standing = people((100, 100, 150, 300))
    assert in_zone(ZonePresence(zone=upper_half, anchor=Anchor.FEET), standing, SIZE) is None
    assert in_zone(ZonePresence(zone=upper_half, anchor=Anchor.CENTER), standing, SIZE) is not None
    reaching_in = people((100, 230, 150, 400))
    assert in_zone(ZonePresence(zone=upper_half, anchor=Anchor.CENTER), reaching_in, SIZE) is None
    assert in_zone(ZonePresence(zone=upper_half, anchor=Anchor.ANY_OVERLAP), reaching_in, SIZE) is not None


def test_only_the_labels_asked_for_count_and_the_best_of_them_is_taken():
    box = (10.0, 10.0, 20.0, 20.0)
    seen = mixed(("car", 0.9, box), ("dog", 0.8, (30, 30, 40, 40)), ("person", 0.5, box))
    assert in_zone(ZonePresence(labels=("person",)), seen, SIZE).label == "person"
    assert in_zone(ZonePresence(labels=("person", "dog")), seen, SIZE).label == "dog"
    assert in_zone(ZonePresence(labels=("person", "dog")), seen, SIZE).box == (30, 30, 40, 40)
    assert in_zone(ZonePresence(labels=("cat",)), seen, SIZE) is None


def test_a_better_object_outside_does_not_hide_one_inside():
    seen = mixed(("person", 0.9, (600, 10, 620, 20)), ("person", 0.4, (10, 10, 20, 20)))
    assert in_zone(ZonePresence(zone=LEFT_HALF), seen, SIZE).score == pytest.approx(0.4)


def test_the_least_score_is_inclusive():
    seen = people((0, 0, 10, 10), score=0.3)
    assert in_zone(ZonePresence(min_score=0.3), seen, SIZE) is not None
    assert in_zone(ZonePresence(min_score=0.31), seen, SIZE) is None


def test_nothing_seen_is_no_hit():
    assert in_zone(ZonePresence(), Detections.empty(("person",)), SIZE) is None
    assert in_zone(ZonePresence(), Detections.empty(), SIZE) is None


@given(
    width=st.integers(1, 8000),
    height=st.integers(1, 8000),
    x=st.floats(0, 1).filter(lambda x: abs(x - 0.5) > 1e-3),
    y=st.floats(0, 1),
)
def test_the_same_place_counts_at_any_resolution(width: int, height: int, x: float, y: float):
    seen = people((x * width, 0, x * width, y * height))
    assert (in_zone(ZonePresence(zone=LEFT_HALF), seen, (width, height)) is not None) == (x < 0.5)


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (0.5, 0.5), (1, 1)],
        [(0, 0), (1, 0), (1, 1), (0, 0), (0, 1), (1, 0.2)],
    ],
)
def test_a_zone_that_crosses_itself_or_has_no_area_is_refused(corners: list[tuple[float, float]]):
    with pytest.raises(msgspec.ValidationError, match="not simple"):
        msgspec.convert({"type": "zone_presence", "zone": corners}, ZonePresence)


def test_corners_outside_the_picture_are_refused():
    with pytest.raises(msgspec.ValidationError, match=r"<= 1"):
        msgspec.convert({"type": "zone_presence", "zone": [(0, 0), (2, 0), (1, 1)]}, ZonePresence)
