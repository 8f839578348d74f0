"""From the picture to the floor, and which points tell the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.definitions import GroundPoint, Proximity, RuleDefinition, Speed
from gateway.domain.rule import RuleSettings
from gateway.errors import InvalidInputError
from gateway.rules import check_ground
from gateway.rules.ground import on_ground

Pair = tuple[float, float]
CORNERS: tuple[tuple[Pair, Pair], ...] = (
    ((0.3, 0.4), (0.0, 12.0)),
    ((0.7, 0.4), (6.0, 12.0)),
    ((0.9, 0.9), (6.0, 0.0)),
    ((0.1, 0.9), (0.0, 0.0)),
)
"""A floor seen from one end of it."""


def ground(*points: tuple[Pair, Pair]) -> tuple[GroundPoint, ...]:
    return tuple(GroundPoint(picture=picture, metres=metres) for picture, metres in points)


def rules(*points: tuple[Pair, Pair]) -> list[RuleSettings]:
    definitions: list[RuleDefinition] = [
        Speed(max_kmh=5, ground=ground(*points)),
        Proximity(other_labels=("car",), min_distance=2, ground=ground(*points)),
    ]
    return [RuleSettings(name="yard", definition=definition) for definition in definitions]


@given(
    off_m=st.tuples(*[st.floats(-0.3, 0.3)] * 2),
    east=st.sampled_from([0.0, 500_000.0]),
    place=st.tuples(st.floats(0, 6), st.floats(0, 12)),
)
def test_a_floor_is_measured_wherever_its_origin_and_with_a_point_that_is_a_little_off(
    off_m: Pair, east: float, place: Pair
):
    (fifth,) = on_ground(np.array([[0.5, 0.7]]), ground(*CORNERS))
    measured = (*CORNERS, ((0.5, 0.7), (float(fifth[0]) + off_m[0], float(fifth[1]) + off_m[1])))
    for rule in rules(*((picture, (x + east, y + east)) for picture, (x, y) in measured)):
        check_ground(rule)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([((0, 0), (0, 0)), ((0.5, 0), (5, 0)), ((1, 0), (10, 0)), ((0.5, 1), (5, 10))], "three of four points.*line"),
        ([((0, 0), (0, 0)), ((0.5, 0), (5, 3)), ((1, 0), (10, 0)), ((0.5, 1), (5, 10))], "three of four points.*line"),
        ([*CORNERS, ((0.5, 0.9), (4.5, 2.0))], r"point \d of the ground plane is .* m from"),
    ],
)
def test_points_that_are_no_floor_are_refused_with_what_would_do(points: list[tuple[Pair, Pair]], said: str):
    for rule in rules(*points):
        with pytest.raises(InvalidInputError, match=said):
            check_ground(rule)


def test_points_in_another_order_than_their_places_are_no_view_of_a_floor():
    (a, b, c, d), places = CORNERS, [place for _, place in CORNERS]
    swapped = [(a[0], places[1]), (b[0], places[0]), c, d]
    for rule in rules(*swapped):
        with pytest.raises(InvalidInputError, match="no view of one floor"):
            check_ground(rule)


def test_a_rule_without_a_ground_plane_needs_none():
    check_ground(RuleSettings(name="yard", definition=Proximity(other_labels=("car",), min_distance=2)))
